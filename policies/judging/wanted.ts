import { meaningless, signIn, strayIn } from "../signs.ts";
import { oneHolds, type Truth, typeName, Unknown } from "../unknown.ts";

/** What a binding wants a value to be, as a policy writes it. */
export type WantedEntry = string | number | bigint | boolean | WantedText;

/** A text that equals another, letter by letter; or one that begins, or ends, or both, with others. */
export interface WantedText {
  readonly equals?: string;
  readonly prefix?: string;
  readonly suffix?: string;
}

/** A mistake in what is wanted: at the entry, or at one of its keys. */
export interface WantedFault {
  readonly key: keyof WantedText | undefined;
  readonly offset: number;
  readonly found: string;
  readonly right: string;
}

const LITERALLY = "if it is really called so";

/** Why it cannot be what somebody meant; undefined where it can. */
export function wantedFault(entry: WantedEntry): WantedFault | undefined {
  if (typeof entry === "string") return nameFault(entry);
  if (typeof entry !== "object") return undefined;
  if (entry.equals !== undefined && (entry.prefix ?? entry.suffix) !== undefined) {
    const right = "`equals` alone, or `prefix` and `suffix`";
    return { key: "equals", offset: 0, found: "`equals` beside another key", right };
  }
  for (const key of ["prefix", "suffix"] as const) {
    const part = entry[key] ?? "";
    const found = signIn(part);
    const right = "the letters alone: what stands before or behind them may be anything";
    if (found !== undefined) return { key, offset: found.offset, found: meaningless(found.sign), right };
    const stray = strayIn(part, key === "prefix" ? "end" : "start");
    if (stray !== undefined)
      return { key, offset: stray.offset, found: stray.found, right: JSON.stringify(stray.name) };
  }
  return undefined;
}

function nameFault(name: string): WantedFault | undefined {
  const literally = `\`{ equals: ${JSON.stringify(name)} }\` ${LITERALLY}`;
  const found = signIn(name);
  if (found !== undefined) {
    const right = `\`{ prefix: ext- }\` or \`{ suffix: "@example.com" }\`; ${literally}`;
    return { key: undefined, offset: found.offset, found: meaningless(found.sign), right };
  }
  const stray = strayIn(name);
  if (stray === undefined) return undefined;
  const right = `${JSON.stringify(stray.name)}; ${literally}`;
  return { key: undefined, offset: stray.offset, found: stray.found, right };
}

/** Texts that are compared in the time in which one is searched. */
const COMPARED = 8;

let looked = 0;

/** What all that was looked through until now has cost, in units of some 10 ns as those of an expression. */
export function lookedThrough(): number {
  return looked;
}

/** What a value has to be. */
export class Wanted {
  /** As an explanation shows it. */
  readonly text: string;
  readonly #type: string;
  readonly #exact: string | number | bigint | boolean | undefined;
  readonly #prefix: string;
  readonly #suffix: string;

  constructor(entry: WantedEntry) {
    const { equals, prefix, suffix }: WantedText = typeof entry === "object" ? entry : {};
    this.#exact = typeof entry === "object" ? equals : entry;
    this.#prefix = prefix ?? "";
    this.#suffix = suffix ?? "";
    this.#type = typeName(this.#exact ?? "");
    this.text = textOf(this.#exact, prefix, suffix);
  }

  /**
   * Whether a text is it. Of an address with two `@` nobody can tell by its end where it is delivered: to readers
   * `a@evil.com@example.com` is at either.
   *
   * @param of what it is a text of, as an explanation shows it
   */
  isText(text: string, of: string): Truth {
    if (this.#exact !== undefined) return text === this.#exact;
    if (text.length < this.#prefix.length + this.#suffix.length) return false;
    const holds = text.startsWith(this.#prefix) && (this.#suffix === "" || text.endsWith(this.#suffix));
    const isTwo = holds && this.#suffix.startsWith("@") && text.indexOf("@") < text.length - this.#suffix.length;
    return isTwo ? new Unknown(of, "an address with more than one `@`") : holds;
  }

  /** Whether one of some texts is it. @param of what they are texts of */
  isAmong(texts: readonly string[] | Unknown, of: string): Truth {
    if (texts instanceof Unknown) return texts;
    looked += typeof this.#exact === "string" ? texts.length / COMPARED : texts.length;
    if (typeof this.#exact === "string") return texts.includes(this.#exact);
    return oneHolds(texts, (text) => this.isText(text, of));
  }

  /**
   * Whether a claim is it, or is a list that holds it. A value of another type is neither it nor something else: an
   * issuer that writes `"true"` for true would pass by a rule that denies true.
   */
  isClaim(value: unknown, claim: string): Truth {
    if (value === undefined || value instanceof Unknown) return value ?? false;
    if (!Array.isArray(value)) return this.#isValue(value, claim);
    looked += value.length;
    return oneHolds(value, (member) => (member === null ? false : this.#isValue(member, claim)));
  }

  #isValue(value: unknown, claim: string): Truth {
    const type = typeName(value);
    if (type !== this.#type) return new Unknown(claim, `${type}, which is compared with ${this.#type}`);
    if (typeof value === "string") return this.isText(value, claim);
    // biome-ignore lint/suspicious/noDoubleEquals: a number and a bigint of one value are one, and are compared exactly
    return value == this.#exact;
  }
}

function textOf(exact: string | number | bigint | boolean | undefined, prefix?: string, suffix?: string): string {
  if (exact !== undefined) return typeof exact === "string" ? JSON.stringify(exact) : String(exact);
  const parts = [prefix === undefined ? [] : `beginning with ${JSON.stringify(prefix)}`];
  return [...parts, suffix === undefined ? [] : `ending in ${JSON.stringify(suffix)}`].flat().join(" and ");
}
