/** What no HTTPRoute can mean exactly. */
export interface Inexpressible {
  /** `service/route`, or the service. */
  readonly rule: string;
  readonly found: string;
  readonly right: string;
}

/** Thrown rather than render something wider or narrower than the policies. */
export class InexpressibleError extends Error {
  override readonly name = "InexpressibleError";
  readonly all: readonly Inexpressible[];

  constructor(all: readonly Inexpressible[]) {
    super(all.map(({ rule, found, right }) => `${rule}: ${found}; ${right}`).join("\n"));
    this.all = all;
  }
}

/** Within one pattern; whoever knows its rule makes an `Inexpressible` of it. */
export class PatternError extends Error {
  override readonly name = "PatternError";
}
