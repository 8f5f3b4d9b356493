// Everything but `"` and `\` that is printable ASCII: what JSON takes as it is.
const PLAIN = /^[ !#-[\]-~]*$/;
// JSON escapes U+0000 to U+001F only. DEL and C1 steer terminals, format characters (bidi overrides, zero width)
// make one line look like another.
const MISLEADING = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * The text as it stands between the quotes of a JSON string: at most `max` characters (a longer one ends in `…`),
 * with every control and format character escaped. Escapes make it at most six times as long.
 */
export function jsonText(text: string, max: number): string {
  // On the way of every request, five times: the plain case costs one regular expression and copies nothing.
  if (text.length <= max && PLAIN.test(text)) return text;
  return JSON.stringify(shortened(text, max)).slice(1, -1).replace(MISLEADING, escaped);
}

/** A value as JSON, its texts escaped alike; undefined where it is no JSON, such as a bigint. */
export function jsonValue(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)?.replace(MISLEADING, escaped);
  } catch {
    return undefined;
  }
}

/** The text for a person: at most `max` characters, control and format characters replaced by U+FFFD. */
export function plainText(text: string, max: number): string {
  return shortened(text, max).replace(MISLEADING, "\ufffd");
}

function shortened(text: string, max: number): string {
  if (text.length <= max) return text.toWellFormed();
  // A surrogate pair that the cut would halve goes whole.
  return `${text
    .slice(0, max - 1)
    .replace(/[\ud800-\udbff]$/, "")
    .toWellFormed()}…`;
}

function escaped(character: string): string {
  let out = "";
  for (let unit = 0; unit < character.length; unit++) {
    out += `\\u${character.charCodeAt(unit).toString(16).padStart(4, "0")}`;
  }
  return out;
}
