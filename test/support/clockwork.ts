import type { Schedule } from "../../agent/identity/issuer/world.ts";

/** A clock and its timers, moved by the test alone. */
export class Clockwork {
  /** Milliseconds since the epoch. */
  now: number;
  readonly #timers = new Set<{ at: number; task: () => void }>();

  constructor(now = Date.now()) {
    this.now = now;
  }

  readonly clock = (): number => this.now;

  readonly schedule: Schedule = (delay, task) => {
    const timer = { at: this.now + delay, task };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  /** Lets some milliseconds pass, and runs what is due in its order. */
  advance(milliseconds: number): void {
    const end = this.now + milliseconds;
    for (let next = this.#due(end); next !== undefined; next = this.#due(end)) {
      this.now = Math.max(this.now, next.at);
      this.#timers.delete(next);
      next.task();
    }
    this.now = end;
  }

  #due(end: number) {
    return [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
  }
}
