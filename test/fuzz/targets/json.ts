import { isDeepStrictEqual } from "node:util";
import { parseObject } from "../../../agent/http/json.ts";
import { mutatedBytes, mutatedJson, mutatedText, spelled } from "../mutate.ts";
import { hold, type Target } from "../target.ts";

const ORIGINALS: readonly unknown[] = [
  { iss: "https://idp.example.com", sub: "alice", aud: ["api://orders"], exp: 1_700_000_600, iat: 1_700_000_000 },
  { keys: [{ kty: "EC", crv: "P-256", x: "AA", y: "AA", kid: "a", use: "sig" }], extra: { deep: [[[{}]]] } },
  { a: 1, b: -0, c: 1.5, d: 9_007_199_254_740_991, e: "\u0000\ud83d\ude00", f: null, g: true, h: { "": [] } },
  { cnf: { jkt: "x" }, act: { sub: "a", act: { sub: "b" } }, realm_access: { roles: ["a:b", 'c"d', "e\\"] } },
];
const WORDS = [
  '"',
  '":',
  ",",
  "{",
  "}",
  "[",
  "]",
  ":",
  '"iss":',
  "\\",
  "\\u0022",
  "1e1",
  "12345678901234567890",
  "-0",
  "0.1",
  '"__proto__":1',
  "\t",
];

/** Whether an object names a member twice, or `__proto__`, told by a reader that knows nothing but quotes and brackets. */
function isTwice(text: string): boolean {
  const open: (Set<string> | undefined)[] = [];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}[\]]/gs)) {
    if (token === "{" || token === "[") open.push(token === "{" ? new Set() : undefined);
    else if (token === "}" || token === "]") open.pop();
    else if (token.endsWith(":")) {
      const name = JSON.parse(token.slice(0, token.lastIndexOf('"') + 1)) as string;
      const names = open.at(-1);
      if (name === "__proto__" || names?.has(name) === true) return true;
      names?.add(name);
    }
  }
  return false;
}

/** All names in a text, each read by itself. */
function namesIn(text: string): readonly string[] {
  const tokens = [...text.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?/gs)].map(([token]) => token);
  const names = tokens.filter((token) => token.endsWith(":"));
  return names.map((token): string => JSON.parse(token.slice(0, token.lastIndexOf('"') + 1))).sort();
}

function namesOf(value: unknown): readonly string[] {
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) return value.flatMap(namesOf).sort();
  return Object.entries(value)
    .flatMap(([name, member]) => [name, ...namesOf(member)])
    .sort();
}

/** Numbers that a double does not keep are bigints with us. */
function rounded(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(rounded);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, rounded(member)]));
}

export const JSON_OBJECTS: Target = {
  name: "json",
  oracle:
    "JSON of tokens and providers: one that is read is UTF-8 and, but for large integers, what JSON.parse reads; no member of it is named twice, told by another reader; what is refused without such a reason is no object",
  tested: 20_000,
  share: 800,
  reaches: ["read", "refused"],
  open: () => ({
    input(random) {
      const text = spelled(mutatedJson(random.pick(ORIGINALS), random), random);
      if (random.once(8)) return mutatedBytes(Buffer.from(text), random);
      return Buffer.from(random.once(2) ? text : mutatedText(text, random, { words: WORDS }));
    },
    check(input) {
      const own = parseObject(input);
      let text: string;
      let theirs: unknown;
      try {
        text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(input);
        theirs = JSON.parse(text);
      } catch {
        hold(own === undefined, "what is no JSON was read");
        return "refused";
      }
      if (own === undefined) return "refused";
      hold(typeof theirs === "object" && theirs !== null && !Array.isArray(theirs), "what is no object was read");
      hold(!isTwice(text), "a member that stands twice was passed over");
      hold(isDeepStrictEqual(namesOf(own), namesIn(text)), "its members have other names");
      // JSON.parse of Node 26 takes a name with an escape for another's that it has read before (agent/http/json.ts).
      const escaped = /\\.(?:[^"\\]|\\.)*"\s*:/s.test(text);
      hold(escaped || isDeepStrictEqual(rounded(own), theirs), "JSON.parse reads something else");
      return "read";
    },
  }),
};
