import type { Random } from "./random.ts";

/** Bytes with a meaning of their own somewhere: ends of varints, lengths, types, quotes, line ends. */
const SHARP = [0, 1, 0x09, 0x0a, 0x0d, 0x20, 0x22, 0x25, 0x2e, 0x2f, 0x5c, 0x7f, 0x80, 0xef, 0xf0, 0xff];
/** Texts that one reader takes for something that another does not. */
const TEXTS = [
  ...["", " ", "\t", "\n", "\r\n", "\0", "'", '"', "\\", "#", ";", ",", ".", "..", "/", "//", "%", "=", "&", "@"],
  ...["%2e", "%2F", "%00", "%25", "%c0%af", "\u00a0", "\u2028", "\ufeff", "\ud83d\ude00", "\uff0f", "\u212a", "İ"],
  ...["-1", "0", "00", "1e3", "0x10", "9007199254740993", "18446744073709551616", "1e999", "NaN", "null", "true"],
  ...["{", "}", "[", "]", "{}", "[]", "(", ")", "__proto__", "constructor", "toString", "$A", "*", "::", "127.0.0.1"],
];

/** A copy with some octets changed, left out, doubled, moved or put in. */
export function mutatedBytes(original: Uint8Array, random: Random, most = 4): Buffer {
  let bytes: Buffer = Buffer.from(original);
  for (let n = random.below(most); n >= 0; n--) bytes = changed(bytes, random);
  return bytes;
}

function changed(bytes: Buffer, random: Random): Buffer {
  if (bytes.length === 0) return random.bytes(1 + random.below(8));
  const at = random.below(bytes.length);
  const length = 1 + random.below(random.once(8) ? 64 : 4);
  switch (random.below(8)) {
    case 0:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 1:
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), random.bytes(length), bytes.subarray(at)]);
    case 3:
      return bytes.subarray(0, at);
    case 4: {
      const copy = Buffer.from(bytes);
      bytes.copy(copy, at, random.below(bytes.length));
      return copy;
    }
    case 5: {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] as number) ^ (1 << random.below(8));
      return copy;
    }
    default: {
      const copy = Buffer.from(bytes);
      copy[at] = random.once(2) ? random.pick(SHARP) : random.below(256);
      return copy;
    }
  }
}

/**
 * A text with pieces changed, left out, doubled, exchanged with others', or put in.
 *
 * @param others where pieces come from: what is well formed somewhere is worth more than what is made up
 * @param words of the language
 */
export function mutatedText(
  original: string,
  random: Random,
  {
    others = [],
    words = [],
    most = 4,
  }: { readonly others?: readonly string[]; readonly words?: readonly string[]; readonly most?: number } = {},
): string {
  let text = original;
  for (let n = random.below(most); n >= 0; n--) text = changedText(text, random, others, words);
  return text;
}

function changedText(text: string, random: Random, others: readonly string[], words: readonly string[]): string {
  const at = random.below(text.length + 1);
  const end = at + random.below(random.once(6) ? 40 : 6);
  const inserted = (piece: string, until = at) => text.slice(0, at) + piece + text.slice(until);
  switch (random.below(8)) {
    case 0:
      return inserted("", end);
    case 1:
      return inserted(text.slice(at, end).repeat(1 + random.below(3)));
    case 2:
      return others.length === 0 ? inserted("", end) : inserted(pieceOf(random.pick(others), random), end);
    case 3:
      return words.length === 0 ? inserted(random.pick(TEXTS)) : inserted(random.pick(words), end);
    case 4:
      return words.length === 0 ? inserted(random.pick(TEXTS), end) : inserted(random.pick(words));
    case 5:
      return inserted(
        String.fromCharCode(random.once(3) ? random.below(0x3000) : 0x20 + random.below(0x5f)),
        at + random.below(2),
      );
    case 6:
      return linesMoved(text, random);
    default:
      return inserted(random.pick(TEXTS), random.once(2) ? end : at);
  }
}

function pieceOf(text: string, random: Random): string {
  const at = random.below(text.length + 1);
  return text.slice(at, at + random.below(60));
}

/** A line left out, doubled, moved, or indented otherwise. */
function linesMoved(text: string, random: Random): string {
  const lines = text.split("\n");
  const from = random.below(lines.length);
  const [line = ""] = lines.splice(from, 1);
  if (random.once(4)) return lines.join("\n");
  const indented = random.once(3) ? " ".repeat(random.below(8)) + line.trimStart() : line;
  lines.splice(random.below(lines.length + 1), 0, indented);
  if (random.once(3)) lines.splice(from, 0, line);
  return lines.join("\n");
}

/** A text with one of its words in the place of another: most of what is well formed stays so. */
export function wordsMoved(text: string, random: Random): string {
  const words = [...text.matchAll(/[\w.-]+/g)];
  if (words.length === 0) return text;
  const [{ 0: old, index }, { 0: other }] = [random.pick(words), random.pick(words)];
  return text.slice(0, index) + other + text.slice(index + old.length);
}

/** Values where another type is expected. */
const ODD: readonly unknown[] = [
  ...[
    undefined,
    null,
    "",
    "x",
    " ",
    0,
    1,
    -1,
    1.5,
    1e15,
    -0,
    2 ** 53,
    true,
    false,
    [],
    {},
    ["x"],
    [1],
    [null],
    { a: 1 },
  ],
  ...["a\nb", "\ud800", "\u2028", "9".repeat(400), { toString: "x" }, [["x"]], "https://x.example/", "1e3"],
];

/** A copy of a JSON value with some of its parts changed, left out, doubled, or exchanged. */
export function mutatedJson(value: unknown, random: Random, most = 3): unknown {
  let changed = structuredClone(value);
  for (let n = random.below(most); n >= 0; n--) changed = changedPart(changed, random);
  return changed;
}

function changedPart(value: unknown, random: Random): unknown {
  if (typeof value !== "object" || value === null || random.once(8)) return leaf(value, random);
  if (Array.isArray(value)) {
    const at = random.below(value.length + 1);
    if (random.once(4)) return value.toSpliced(at, random.below(2), random.pick(ODD));
    return value.length === 0
      ? [random.pick(ODD)]
      : value.with(at % value.length, changedPart(value[at % value.length], random));
  }
  const names = Object.keys(value);
  const name = random.once(10) || names.length === 0 ? random.pick(TEXTS) : random.pick(names);
  const entries = new Map(Object.entries(value));
  if (random.once(6)) entries.delete(name);
  else if (random.once(10)) entries.set(random.pick(TEXTS), entries.get(name));
  else entries.set(name, changedPart(entries.get(name), random));
  return Object.fromEntries(entries);
}

function leaf(value: unknown, random: Random): unknown {
  if (typeof value === "string" && !random.once(3)) return mutatedText(value, random, { most: 2 });
  if (typeof value === "number" && !random.once(3)) return value + random.pick([1, -1, 0.5, 60, -60, 1e9]);
  return random.pick(ODD);
}

/** A value as JSON that no library would write: blanks, escapes, other spellings of numbers, members twice. */
export function spelled(value: unknown, random: Random): string {
  const json = JSON.stringify(value) ?? "null";
  const [first = "x"] = typeof value === "object" && value !== null ? Object.keys(value) : [];
  switch (random.below(24)) {
    case 0:
      return ` ${json.replaceAll(",", " ,\n")}\t`;
    case 1:
      return json.replace(
        `"${first}"`,
        `"\\u00${first.charCodeAt(0).toString(16).padStart(2, "0").slice(-2)}${first.slice(1)}"`,
      );
    case 2:
      return json.replace(/:(\d+)([,}])/, ":$1.0e0$2");
    case 3:
      return json.replace("{", `{"${first}":"x",`);
    case 4:
      return json.replace(/}$/, `,"${first}":"x"}`);
    case 5:
      return json.replace(/}$/, random.once(2) ? ',"a":1e999}' : ',"a":"\\ud800"}');
    case 6:
      return `\ufeff${json}`;
    case 7:
      return mutatedText(json, random, { most: 2 });
    default:
      return json;
  }
}
