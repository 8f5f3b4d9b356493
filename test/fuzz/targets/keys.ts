import { crc32 } from "node:zlib";
import { digestOf, idOf, isKey, makeKey } from "../../../agent/identity/api-key/key.ts";
import { mutatedText } from "../mutate.ts";
import { hold, type Target } from "../target.ts";

const PREFIX = "acme_";
/** Nobody's. */
const KNOWN = "acme_Ab3dE5gH0123456789abcdefghijklmnopqrstuv";
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** A whole key of what stands before its checksum, by arithmetic on large numbers. */
function keyOf(unchecked: string): string {
  let rest = BigInt(crc32(unchecked));
  const digits: string[] = [];
  for (let n = 0; n < 6; n++, rest /= 62n) digits.unshift(DIGITS.charAt(Number(rest % 62n)));
  return unchecked + digits.join("");
}

const GOOD = keyOf(KNOWN);
const SHA256 = digestOf(GOOD);

export const API_KEYS: Target = {
  name: "api-keys",
  oracle:
    "API keys: an id is found in what has a key's form and the checksum that another arithmetic gives, and in nothing else; only the one key is the one with its digest; every key that is made is one",
  tested: 20_000,
  share: 1_200,
  reaches: ["the key", "a key", "refused"],
  open: () => ({
    input(random) {
      const body = Array.from({ length: 40 }, (_, n) =>
        DIGITS.charAt(n === 0 ? 10 + random.below(52) : random.below(62)),
      ).join("");
      if (random.once(200)) return Buffer.from(makeKey(PREFIX).text);
      const key = random.once(2) ? GOOD : keyOf(PREFIX + body);
      return Buffer.from(random.once(3) ? key : mutatedText(key, random, { words: [PREFIX, "0", "z"], most: 2 }));
    },
    check(input) {
      const text = input.toString("latin1");
      const id = idOf(text, PREFIX);
      const wellFormed = /^acme_[A-Za-z][0-9A-Za-z]{45}$/.test(text) && keyOf(text.slice(0, -6)) === text;
      hold((id !== undefined) === wellFormed, `an id is ${id}`);
      hold(isKey(text, SHA256) === (text === GOOD), "another key is taken for the one");
      if (id === undefined) return "refused";
      hold(text.slice(PREFIX.length).startsWith(id) && id.length === 8, "the id is not the key's");
      return text === GOOD ? "the key" : "a key";
    },
  }),
};
