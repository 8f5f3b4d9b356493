import { type Credential, credentialOf, formsOf } from "../../../agent/answer/credentials.ts";
import { encodeValue } from "../../../protocol/value.ts";
import { mutatedText } from "../mutate.ts";
import type { Random } from "../random.ts";
import { hold, type Target } from "../target.ts";

const ARGUMENTS = ["authorization", "header_x-api-key", "subprotocol_token", "cookie_sid"] as const;
const FORMS = formsOf(
  ["bearer", "dpop", "header:x-api-key", "subprotocol:token", "cookie:sid"],
  new Map(ARGUMENTS.map((name, at) => [name, at])),
);
const LIMIT = 64;
/** Of a request that is signed by nobody. */
const UNSIGNED = { method: "GET", host: "orders.example.com", path: "/", query: "" };

const ORIGINALS: readonly (readonly string[])[] = [
  ["Bearer abc.def", "DPoP abc", "bearer  x", "Basic eA==", "", "Bearer"],
  ["key_1", "", "x".repeat(70)],
  ["graphql, token.abc", "token.a,token.b", "token.", "Token.x", " token.abc\t, chat", ""],
  ["abc", "", "a b"],
];
const WORDS = ["Bearer ", "bearer", "DPoP ", " ", "\t", ",", "token.", "token", ";", "=", ":", '"'];

/** Values of the arguments, with a line feed between: none of them has one where HAProxy sends it. */
function valuesOf(random: Random): string {
  return ORIGINALS.map((originals) =>
    random.once(3)
      ? random.pick(originals)
      : random.once(2)
        ? ""
        : mutatedText(random.pick(originals), random, { words: WORDS, most: 2 }),
  )
    .map((value) => value.replaceAll("\n", " "))
    .join("\n");
}

/** What a request offers, as credentials.ts finds it in a frame. */
function offeredBy(values: readonly string[]) {
  const parts: Buffer[] = [];
  const offered: number[] = [];
  let at = 0;
  for (const [index, value] of values.entries()) {
    const bytes = encodeValue({ type: "binary", value: Buffer.from(value, "latin1") });
    bytes[0] = 8;
    offered.push(index, at, at + bytes.length);
    parts.push(bytes);
    at += bytes.length;
  }
  return { bytes: Buffer.concat(parts), offered };
}

/** The same, told by splitting texts. */
function expected([authorization = "", header = "", protocols = "", cookie = ""]: readonly string[]): string {
  const scheme = /^(bearer|dpop)( +)(.*)$/is.exec(authorization);
  if (scheme !== null) return sized((scheme[1] ?? "").toLowerCase(), scheme[3] ?? "");
  if (/^[^A-Za-z]*(?:bearer|dpop)/i.test(authorization)) return "credential-malformed";
  if (header !== "") return sized("header:x-api-key", header);
  const members = protocols.split(",").map((member) => member.replace(/^[ \t]+|[ \t]+$/g, ""));
  const tokens = members.filter((member) => member.startsWith("token."));
  if (tokens.length > 1 || tokens[0] === "token.") return "credential-malformed";
  if (tokens[0] !== undefined) return sized("subprotocol:token", tokens[0].slice("token.".length));
  return cookie === "" ? "none" : sized("cookie:sid", cookie);
}

function sized(kind: string, value: string): string {
  if (value.length > LIMIT) return "token-too-large";
  return value === "" ? "credential-malformed" : `${kind} ${value}`;
}

function shown(credential: Credential): string {
  if (credential.kind === "none") return "none";
  if (credential.kind === "invalid") return credential.reason;
  const { kind, bytes, start, end } = credential;
  return `${kind} ${bytes.toString("latin1", start, end)}`;
}

export const CREDENTIALS: Target = {
  name: "credentials",
  oracle:
    "The one credential of a request: Authorization, a header, the subprotocols of a WebSocket, a cookie; the same that a reading by splitting texts finds, the first rank alone",
  tested: 20_000,
  share: 2_200,
  reaches: ["taken", "none", "credential-malformed", "token-too-large"],
  open: () => ({
    input: (random) => Buffer.from(valuesOf(random), "latin1"),
    check(input) {
      const values = input.toString("latin1").split("\n").slice(0, ARGUMENTS.length);
      const found = shown(credentialOf({ ...UNSIGNED, ...offeredBy(values) }, FORMS ?? [], LIMIT, "https"));
      hold(found === expected(values), () => `${JSON.stringify(found)}, and not ${JSON.stringify(expected(values))}`);
      return found.includes(" ") ? "taken" : found;
    },
  }),
};
