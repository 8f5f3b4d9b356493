import { DEUTSCH } from "./de.ts";
import { ENGLISH } from "./en.ts";
import type { Texts } from "./text.ts";

const ALL: readonly Texts[] = [ENGLISH, DEUTSCH];
/** Characters of Accept-Language that are read; browsers send less than 200. */
const LONGEST = 1000;

/**
 * The texts in the language that a browser likes best of those that there are (RFC 9110, section 12.5.4); English for
 * whoever likes none.
 *
 * @param accepted the Accept-Language header
 */
export function textsFor(accepted: string): Texts {
  const wanted = accepted.slice(0, LONGEST).split(",").map(rangeOf);
  const weights = ALL.map((texts) => weightOf(texts.language, wanted));
  const best = Math.max(...weights);
  return ALL[best > 0 ? weights.indexOf(best) : 0] ?? ENGLISH;
}

interface Range {
  /** The language without its region; `*` for all others. */
  readonly language: string;
  readonly weight: number;
}

function rangeOf(text: string): Range {
  const [range = "", ...parameters] = text.toLowerCase().split(";");
  const quality = parameters
    .map((each) => /^\s*q=([01](?:\.\d{0,3})?)\s*$/.exec(each)?.[1])
    .find((q) => q !== undefined);
  return { language: range.trim().split("-")[0] ?? "", weight: Number(quality ?? 1) };
}

function weightOf(language: string, wanted: readonly Range[]): number {
  const of = (name: string) => wanted.filter((range) => range.language === name).map(({ weight }) => weight);
  const own = of(language);
  return Math.max(0, ...(own.length > 0 ? own : of("*")));
}
