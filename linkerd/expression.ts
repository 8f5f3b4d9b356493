import { PatternError } from "./inexpressible.ts";
import type { Expression } from "./input.ts";

const MOST = 256;

/**
 * A segment's expression for raw paths. An RE2 expression judges the decoded segment, and Linkerd's the whole raw path:
 * they mean the same where only characters are named that have one form, letters, digits, `-`, `_` and `~`.
 *
 * @throws PatternError where it names others, or means them without naming them, as `.` and `[^a]` do
 */
export function segmentExpression(expression: Expression): string {
  const reader = new Reader(expression.text);
  const text = reader.alternatives();
  if (text === undefined || !reader.ended || expression.matches("")) {
    throw new PatternError(`the expression \`${expression.text}\``);
  }
  return `(?:${text})`;
}

/** Whether only the ingress holds a segment to 256 characters: a match could be longer. One class alone is counted. */
export function isUnbounded({ text }: Expression): boolean {
  if (/^(?:\[[^\]]*\]|\\d|\\w)[*+]$/.test(text)) return false;
  // No part of the text can stand for more characters than all its repetitions together.
  const most = [...text.matchAll(/\d+(?=\})/g)].reduce(
    (product, [count]) => product * Math.max(1, Number(count)),
    text.length,
  );
  return /[*+]|,\}/.test(text) || most > MOST;
}

const ATOM = /[\w~-]|\\[dw-]/y;
const CLASS = /\[((?:\\[dw-]|0-9|a-z|A-Z|[a-z]-[a-z]|[A-Z]-[A-Z]|\d-\d|[\w~]|-(?=\]))+)\]/y;
const QUANTIFIER = /(?:[*+?]|\{(\d+)(?:(,)(\d*))?\})\??/y;

/** Reads what it understands, and stops before what it does not. */
class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get ended(): boolean {
    return this.#at === this.#text.length;
  }

  alternatives(): string | undefined {
    const all: string[] = [];
    do {
      const part = this.#sequence();
      if (part === undefined) return undefined;
      all.push(part);
    } while (this.#take(/\|/y) !== undefined);
    return all.join("|");
  }

  #sequence(): string | undefined {
    let sequence = "";
    for (;;) {
      const single = this.#single();
      const item = single ?? this.#group();
      if (item === undefined) return sequence;
      const quantifier = this.#take(QUANTIFIER)?.[0] ?? "";
      // The ingress takes no segment of more characters, whatever its expression.
      sequence += item + (single === undefined ? quantifier : bounded(quantifier));
    }
  }

  #single(): string | undefined {
    const atom = this.#take(ATOM)?.[0] ?? this.#take(CLASS)?.[0];
    if (atom === "\\d") return "[0-9]";
    if (atom === "\\w") return "[0-9A-Z_a-z]";
    return atom
      ?.replaceAll("\\d", "0-9")
      .replaceAll("\\w", "0-9A-Z_a-z")
      .replace(/(?<!\\)-\]$/, "\\-]");
  }

  #group(): string | undefined {
    const start = this.#at;
    if (this.#take(/\((?:\?:)?/y) === undefined) return undefined;
    const inner = this.alternatives();
    if (inner !== undefined && this.#take(/\)/y) !== undefined) return `(?:${inner})`;
    this.#at = start;
    return undefined;
  }

  #take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return undefined;
    this.#at = pattern.lastIndex;
    return found;
  }
}

function bounded(quantifier: string): string {
  const [, least, comma, most] = /^\{(\d+)(?:(,)(\d*))?\}/.exec(quantifier) ?? [];
  if (quantifier.startsWith("*")) return `{0,${MOST}}`;
  if (quantifier.startsWith("+")) return `{1,${MOST}}`;
  return comma !== undefined && most === "" ? `{${least},${MOST}}` : quantifier;
}
