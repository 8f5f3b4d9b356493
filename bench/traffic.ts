import { randomBytes } from "node:crypto";
import { claimsOf, pathOf, REFUSED_PATH } from "./contestants/generated.ts";
import type { Algorithm, Issuer } from "./issuer.ts";
import { bearing, type Request, writeRequests } from "./load/load.ts";
import type { Stage } from "./stage.ts";

/** Requests of one kind, sent in turn. */
export interface Traffic {
  readonly name: string;
  readonly expect: "allowed" | "refused";
  requests(issuer: Issuer): readonly Request[];
}

/** Tokens that a cold run goes through in turn; the caches of the contestants hold far fewer, so none is ever there. */
const COLD_TOKENS = 2000;
/** Cache of a cold contestant. */
export const COLD_IDENTITIES = 100;

export function oneToken(routes = 10, algorithm: Algorithm = "RS256"): Traffic {
  return {
    name: `one token ${algorithm}, ${routes} routes`,
    expect: "allowed",
    requests: (issuer) => [bearing(issuer.token(algorithm, claimsOf(0)), pathOf(routes))],
  };
}

export const ONE_TOKEN = oneToken();

/** The same, in a trace that is recorded. */
export const TRACED_TOKEN: Traffic = {
  ...ONE_TOKEN,
  name: `${ONE_TOKEN.name}, in a trace`,
  requests: (issuer) =>
    ONE_TOKEN.requests(issuer).map((request) => {
      return { ...request, other: `traceparent: 00-${"a".repeat(32)}-${"b".repeat(16)}-01` };
    }),
};

/** So many principals, a token each. */
export function tokens(count: number, algorithm: Algorithm): Traffic {
  return {
    name: `${count} tokens ${algorithm}`,
    expect: "allowed",
    requests: (issuer) =>
      Array.from({ length: count }, (_, n) => bearing(issuer.token(algorithm, claimsOf(n)), pathOf(10))),
  };
}

export function cold(algorithm: Algorithm): Traffic {
  return tokens(COLD_TOKENS, algorithm);
}

/** A good token, but no role for the route. */
export const REFUSED: Traffic = {
  name: "refused",
  expect: "refused",
  requests: (issuer) => [bearing(issuer.token("RS256", claimsOf(0)), REFUSED_PATH)],
};

/** What an attacker can send without end: signatures that are wrong, and keys that nobody has. */
export const GARBAGE: Traffic = {
  name: "garbage",
  expect: "refused",
  requests: (issuer) =>
    Array.from({ length: 20_000 }, (_, n) => {
      const [head = "", payload = ""] = issuer.token("EdDSA", claimsOf(n)).split(".");
      const kid = n % 2 === 0 ? head : withKey(head, `key-${n}`);
      return bearing(`${kid}.${payload}.${randomBytes(64).toString("base64url")}`, pathOf(10));
    }),
};

function withKey(head: string, kid: string): string {
  const header = JSON.parse(Buffer.from(head, "base64url").toString()) as object;
  return Buffer.from(JSON.stringify({ ...header, kid })).toString("base64url");
}

const files = new WeakMap<Stage, Map<string, string>>();

/** The file of a traffic's requests, signed and written once a stage: every contestant is sent the same bytes. */
export function fileOf(stage: Stage, traffic: Traffic): string {
  const known = files.get(stage) ?? new Map<string, string>();
  files.set(stage, known);
  const file =
    known.get(traffic.name) ??
    writeRequests(stage.folder, traffic.name.replaceAll(/\W+/g, "-"), traffic.requests(stage.issuer));
  known.set(traffic.name, file);
  return file;
}
