/** Something with how many snapshots use it: with the last one it ends. */
export class Held<T extends { close(): void }> {
  readonly value: T;
  #owners = 0;
  #ended = false;

  constructor(value: T) {
    this.value = value;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** One more snapshot uses it. */
  retain(): void {
    this.#owners++;
  }

  /** One snapshot less. */
  release(): void {
    if (--this.#owners > 0) return;
    this.#ended = true;
    this.value.close();
  }
}
