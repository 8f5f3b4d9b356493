import type { Reason } from "../../../policies/decision.ts";
import { Unknown } from "../../../policies/unknown.ts";
import { type ClaimsIssuer, type IssuerConfig, spellingsOf } from "../../config/config.ts";
import { parseObject } from "../../http/json.ts";
import { claimTest } from "../../identity/claims/claim-test.ts";
import { stringsOf } from "../../identity/claims/claims.ts";
import { nameOf, sourcesOf, valueAt } from "../../identity/claims/sources.ts";
import type { KeyView } from "../../identity/issuer/issuer.ts";
import type { Refusal } from "../../identity/issuer/refusal.ts";
import { isCanonical } from "../../identity/jwt/token.ts";
import { isOidc, type OidcIssuer } from "../../identity/oidc/section.ts";
import { plainText } from "../../telemetry/safe-text.ts";
import { awsReport, isAws } from "./aws-report.ts";
import { adviceFor, type Topic } from "./providers.ts";

/** A token that proves nobody, and what it was held against. */
export interface Refused {
  readonly text: string;
  readonly refusal: Refusal;
  readonly issuers: readonly IssuerConfig[];
  /** The keys of the issuer with this URL. */
  readonly keysOf: (issuer: string) => readonly KeyView[];
  /** Why the issuer with this URL cannot be asked; undefined where it can. */
  readonly errorOf: (issuer: string) => string | undefined;
  /** Largest token in bytes. */
  readonly limit: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

type Members = Readonly<Record<string, unknown>>;

/** The token as it reads: nothing in it is proven. */
interface Reading extends Refused {
  readonly header: Members;
  readonly claims: Members;
  /** The one that the token names. */
  readonly issuer: OidcIssuer | undefined;
}

const LONGEST = 300;
const GRAPH: ReadonlySet<unknown> = new Set(["00000003-0000-0000-c000-000000000000", "https://graph.microsoft.com"]);

/**
 * What was found in a refused token and what was expected, for whoever holds it; then what helps at the provider.
 *
 * Of claims other than `iss` and `aud` and of dates only the type is told, so that the report can be passed on.
 */
export function reportOf(refused: Refused): readonly string[] {
  if (isAws(refused.text)) return awsReport(refused).map((line) => plainText(line, 2 * LONGEST));
  const [head = "", body = ""] = refused.text.split(".");
  const [header, claims] = [membersOf(head), membersOf(body)];
  const issuer = refused.issuers
    .filter(isOidc)
    .find((each) => spellingsOf(each).some((spelling) => spelling === claims.iss));
  const reading = { ...refused, header, claims, issuer };
  return [...(FINDINGS[refused.refusal.reason]?.(reading) ?? []), ...hintsOf(reading)].map((line) =>
    plainText(line, 2 * LONGEST),
  );
}

/** What is wrong with one of the claims, by the name that the refusal gives it. */
export function claimReport(claims: Members, name: string, issuer: ClaimsIssuer | undefined): string {
  const place = issuer !== undefined && name === subjectName(issuer) ? issuer.claims.subject : [name];
  return `${name} is ${typeText(valueAt(claims, sourcesOf(place)))}; expected: ${FORMS[name] ?? SUBJECT}`;
}

function subjectName({ claims }: ClaimsIssuer): string {
  return nameOf(sourcesOf(claims.subject));
}

function membersOf(segment: string): Members {
  return parseObject(Buffer.from(segment, "base64url")) ?? {};
}

const FINDINGS: Readonly<Partial<Record<Reason, (reading: Reading) => readonly string[]>>> = {
  "credential-malformed": ({ text, issuers }) => {
    const keys = issuers.find(
      ({ type, prefixes = [] }) => type === "api-key" && prefixes.some((each) => text.startsWith(each)),
    );
    if (keys !== undefined)
      return [`it begins like a key of ${keys.name}, and is not whole, or mistyped: its checksum says so`];
    return ["the file holds more than one token: a space, a line break, quotes or `Bearer` in it"];
  },
  "credential-revoked": () => [
    "it was taken back: in the file of `revoked`, or as an API key; `countersign keys api list`",
  ],
  "api-key-unknown": () => ["there is no such key in the issuer's `file`; `countersign keys api list` has the others"],
  "token-too-large": ({ text, limit }) => [`it has ${text.length} bytes; \`limits.token\` is ${limit}`],
  "token-malformed": ({ text }) => [structureOf(text)],
  "token-encrypted": () => ["it is encrypted (JWE); expected: a signed token (JWS)"],
  "token-type": ({ header, issuer }) => [
    `typ in its header is ${shown(header.typ)}; \`token_types\`${of(issuer)}: ${listed(issuer?.tokenTypes)}`,
  ],
  "token-not-access": ({ claims, refusal: { claim = "" } }) => [
    `${claim} is ${["typ", "token_use"].includes(claim) ? shown(claims[claim]) : "there"}: it is no access token`,
  ],
  "token-expired": dates,
  "token-not-yet-valid": dates,
  "algorithm-refused": (reading) => [
    `alg is ${shown(reading.header.alg)}; \`algorithms\`${of(reading.issuer)}: ${listed(reading.issuer?.algorithms)}`,
    ...keys(reading),
  ],
  "key-unknown": keys,
  "key-pending": keys,
  "key-weak": keys,
  "signature-invalid": keys,
  "issuer-unknown": ({ claims, issuers }) => [
    `iss is ${shown(claims.iss)}; the issuers configured: ${listed(issuers.flatMap(spellingsOf))}`,
  ],
  "issuer-unavailable": ({ issuer, errorOf }) => {
    const error = issuer === undefined ? undefined : errorOf(issuer.issuer);
    return error === undefined ? [] : [`the keys${of(issuer)} cannot be had: ${error}`];
  },
  "audience-not-accepted": audience,
  "claim-not-accepted": requirement,
  "claim-missing": claim,
  "claim-malformed": claim,
  "proof-missing": ({ claims, issuer }) => [
    `cnf is ${typeText(claims.cnf)} with ${listed(Object.keys(claims.cnf ?? {}))}: it is bound to a key; \`proofs\`${of(issuer)}: ${listed(issuer?.proofs)}`,
  ],
  "token-unbound": ({ issuer }) => [`it has no cnf, and \`unbound\`${of(issuer)} is refuse`],
};

function audience({ claims, issuer }: Reading): readonly string[] {
  const sources = sourcesOf(issuer?.claims.audience ?? "aud");
  const value = valueAt(claims, sources);
  const found = stringsOf(value);
  return [
    `${nameOf(sources)} is ${found === undefined ? typeText(value) : listed(found)}; \`audiences\`${of(issuer)}: ${listed(issuer?.audiences)}`,
  ];
}

function requirement({ claims, issuer, refusal }: Reading): readonly string[] {
  const test = issuer?.require.map(claimTest).find(({ path }) => path.text === refusal.claim);
  if (test === undefined) return [];
  return [
    `${refusal.claim} is ${typeText(valueAt(claims, sourcesOf(test.path.text)))} that \`require\`${of(issuer)} does not take; expected: ${test.text}`,
  ];
}

function claim(reading: Reading): readonly string[] {
  const { refusal, claims, issuer } = reading;
  if (refusal.claim === undefined) return [];
  return isAudience(refusal.claim, issuer) ? audience(reading) : [claimReport(claims, refusal.claim, issuer)];
}

function isAudience(name: string, issuer: ClaimsIssuer | undefined): boolean {
  return name === nameOf(sourcesOf(issuer?.claims.audience ?? "aud"));
}

function dates({ claims, refusal, issuer, now }: Reading): readonly string[] {
  const { claim: name = "exp" } = refusal;
  const at = claims[name];
  if (typeof at !== "number") return [];
  const seconds = Math.round(Math.abs(now / 1000 - at));
  const tolerance = (issuer?.clockTolerance ?? 0) / 1000;
  return [
    `${name} is ${timeText(at)}, ${seconds} s ${at * 1000 < now ? "ago" : "from now"}; \`clock_tolerance\` is ${tolerance} s`,
  ];
}

function keys({ header, issuer, keysOf }: Reading): readonly string[] {
  if (issuer === undefined) return [];
  const known = keysOf(issuer.issuer).map(({ kid, algorithms, weakness }) => {
    return `${shown(kid)} for ${weakness !== undefined ? `nothing: ${weakness}` : [...algorithms].join(" ") || "nothing that is allowed"}`;
  });
  return [
    `kid is ${shown(header.kid)}, alg ${shown(header.alg)}; the keys${of(issuer)}: ${known.join(", ") || "none"}`,
  ];
}

/** What no signed JWT looks like (RFC 7515, section 7.1). */
function structureOf(text: string): string {
  const segments = text.split(".");
  if (segments.length !== 3) return `parts between dots: ${segments.length}; expected: the 3 of a signed JWT`;
  const names = ["header", "claims", "signature"] as const;
  for (const [index, name] of names.entries()) {
    const segment = segments[index] ?? "";
    if (segment === "") return `there is no ${name}`;
    if (!isCanonical(segment))
      return `the ${name} is not base64url: padding, other characters, or bits that must be zero`;
    if (name !== "signature" && parseObject(Buffer.from(segment, "base64url")) === undefined) {
      return `the ${name} is no JSON object in UTF-8, or names a member twice, nests too deep, or holds what JSON cannot say exactly`;
    }
  }
  return headerFault(membersOf(segments[0] ?? ""));
}

function headerFault(header: Members): string {
  for (const name of ["crit", "b64"])
    if (header[name] !== undefined) return `its header has ${name}, an extension that is not understood`;
  for (const name of ["alg", "typ", "kid"]) {
    const value = header[name];
    if (typeof value !== "string" && !(value === undefined && name !== "alg")) {
      return `${name} in its header is ${typeText(value)}; expected: a text`;
    }
  }
  return "its header has a `kid` that is too long";
}

function hintsOf(reading: Reading): readonly string[] {
  const { claims, header, refusal, issuer, issuers } = reading;
  if (header.nonce !== undefined && isGraph(claims)) {
    return [
      "a nonce in the header: a token of Microsoft Graph, which nobody but Graph can check; let the client ask for a scope of your own API",
    ];
  }
  const topic = topicOf(refusal, issuer);
  if (topic === undefined) return [];
  const urls = topic === "opaque" ? issuers.map((each) => each.issuer) : [String(claims.iss)];
  return urls.flatMap((url) => adviceFor(url, topic));
}

function isGraph({ iss, aud }: Members): boolean {
  return GRAPH.has(aud) || /^https:\/\/(?:sts\.windows\.net|login\.microsoftonline\.com)\//.test(String(iss));
}

function topicOf({ reason, claim: name }: Refusal, issuer: OidcIssuer | undefined): Topic | undefined {
  if (reason === "token-malformed") return "opaque";
  if (reason === "token-not-access") return "purpose";
  if (reason === "issuer-unknown") return "issuer";
  if (name !== undefined && isAudience(name, issuer)) return "audience";
  return issuer !== undefined && name === subjectName(issuer) ? "subject" : undefined;
}

const DATE = "a number of seconds since 1970";
const SUBJECT = "a text of 1 to 1024 characters, none of them a control character";
const FORMS: Readonly<Record<string, string>> = {
  iss: "a text",
  aud: "a text, or a list of texts",
  exp: DATE,
  nbf: DATE,
  iat: DATE,
};

function typeText(value: unknown): string {
  if (value === undefined) return "absent";
  if (value instanceof Unknown) return `unknown (${value.found})`;
  if (value === null) return "null";
  if (Array.isArray(value)) return `a list of ${[...new Set(value.map(typeText))].join(" and ") || "nothing"}`;
  if (typeof value === "string") return value === "" ? "an empty text" : "a text";
  if (typeof value === "boolean") return "true or false";
  return typeof value === "number" || typeof value === "bigint" ? "a number" : "an object";
}

function timeText(seconds: number): string {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? "no date" : time.toISOString();
}

/** A text of the token, in quotes; of anything else the type. */
function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(plainText(value, LONGEST)) : typeText(value);
}

function listed(values: readonly string[] = []): string {
  return values.length === 0 ? "none" : values.map(shown).join(", ");
}

function of(issuer: OidcIssuer | undefined): string {
  return issuer === undefined ? "" : ` of ${issuer.name}`;
}
