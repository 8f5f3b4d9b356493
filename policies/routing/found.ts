/** What of a path is a parameter. */
export interface Capture {
  readonly name: string;
  readonly kind: "one" | "rest";
  readonly index: number;
}

/** What a request leads to. Most decisions do not ask for what the path captured, so it is taken out on demand. */
export class Found<T> {
  readonly value: T;
  readonly #captures: readonly Capture[];
  readonly #segments: readonly string[];

  constructor(value: T, captures: readonly Capture[], segments: readonly string[]) {
    this.value = value;
    this.#captures = captures;
    this.#segments = segments;
  }

  /**
   * What the path captured, by name, percent-decoded. `{id}` is one segment, and holds a slash only where `%2f` may
   * pass. `{path...}` is the rest with `/` between its segments; a slash within one stays `%2F`, so it separates nothing.
   */
  get params(): Readonly<Record<string, string>> {
    const params: Record<string, string> = {};
    for (const { name, kind, index } of this.#captures) {
      params[name] = kind === "one" ? (this.#segments[index] ?? "") : restOf(this.#segments, index);
    }
    return params;
  }
}

function restOf(segments: readonly string[], start: number): string {
  let rest = "";
  for (const [index, segment] of segments.entries()) {
    if (index < start) continue;
    if (index > start) rest += "/";
    rest += segment.includes("/") ? segment.replaceAll("/", "%2F") : segment;
  }
  return rest;
}
