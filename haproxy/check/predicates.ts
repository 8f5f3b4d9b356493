import { isUnknown } from "./where.ts";
import type { World } from "./world.ts";

/** A condition of `.if` that HAProxy would refuse. */
export class BadCondition extends Error {
  override readonly name = "BadCondition";
}

/**
 * Evaluates the condition of an `.if`: integers, predicates, `!`, `( )`, `&&` before `||`. Nothing is false.
 *
 * @param text the words, joined by one blank
 * @throws BadCondition
 */
export function holds(text: string, world: World): boolean {
  const reader = new Conditions(text, world);
  const value = reader.any();
  reader.end();
  return value;
}

class Conditions {
  readonly #text: string;
  readonly #world: World;
  #at = 0;

  constructor(text: string, world: World) {
    this.#text = text;
    this.#world = world;
  }

  end(): void {
    if (this.#rest() !== "") throw new BadCondition(`unexpected "${this.#rest()}"`);
  }

  any(): boolean {
    if (this.#rest() === "") return false;
    let value = this.#every();
    while (this.#take("||")) {
      // HAProxy does not look at what comes after a true one, but reads it all the same.
      const next = this.#every();
      value = value || next;
    }
    return value;
  }

  #every(): boolean {
    let value = this.#one();
    while (this.#take("&&")) {
      const next = this.#one();
      value = value && next;
    }
    return value;
  }

  #one(): boolean {
    if (this.#take("!")) return !this.#one();
    if (this.#take("(")) {
      const value = this.any();
      if (!this.#take(")")) throw new BadCondition("unmatched parenthesis");
      return value;
    }
    const number = /^[+-]?[0-9]+/.exec(this.#rest())?.[0];
    if (number !== undefined) {
      this.#take(number);
      return Number(number) !== 0;
    }
    return this.#predicate();
  }

  #predicate(): boolean {
    const match = /^([a-z_]+)\(((?:"[^"]*"|'[^']*'|[^)"'])*)\)/.exec(this.#rest());
    if (match === null) throw new BadCondition(`unknown predicate "${this.#rest()}"`);
    this.#take(match[0]);
    const values = (match[2] ?? "").split(",").map((value) => value.trim().replace(/^(["'])(.*)\1$/, "$2"));
    return evaluate(match[1] ?? "", values, this.#world);
  }

  #rest(): string {
    return this.#text.slice(this.#at).trimStart();
  }

  #take(sign: string): boolean {
    if (!this.#rest().startsWith(sign)) return false;
    this.#at = this.#text.length - this.#rest().length + sign.length;
    return true;
  }
}

const TEXTS: Readonly<Record<string, (a: string, b: string) => boolean>> = {
  streq: (a, b) => a === b,
  strneq: (a, b) => a !== b,
  strstr: (a, b) => a.includes(b),
};
/** What only the binary knows. */
const OF_THE_BUILD: ReadonlySet<string> = new Set([
  "feature",
  "enabled",
  "openssl_version_atleast",
  "openssl_version_before",
  "ssllib_name_startswith",
  "awslc_api_atleast",
  "awslc_api_before",
  "fips_mode",
]);

function evaluate(name: string, values: readonly string[], world: World): boolean {
  const [first = "", second = ""] = values;
  const text = `${name}(${values.join(",")})`;
  const undecided = () => world.decide(text, `${text} is true`, `${text} is false`);
  if (name === "defined") return world.isSet(first);
  if (name === "version_atleast") return isUnknown(first) ? undecided() : world.atLeast(first);
  if (name === "version_before") return isUnknown(first) ? undecided() : !world.atLeast(first);
  if (OF_THE_BUILD.has(name)) return undecided();
  const compare = TEXTS[name];
  if (compare === undefined) throw new BadCondition(`unknown predicate "${name}"`);
  return isUnknown(first) || isUnknown(second) ? undecided() : compare(first, second);
}
