import type { BodyPlace } from "./bodies.ts";
import type { Contract } from "./contract.ts";
import { contractText } from "./contract.ts";
import { CREDENTIAL_KINDS, type CredentialKind, type CredentialUses, sentKinds } from "./credentials.ts";
import { OWN } from "./variables.ts";

/** The one SPOE message; the group that sends it has the same name. */
export const MESSAGE = "authorize";

/** What the policies read of a request beyond the arguments that are always sent. */
export interface ArgumentUses extends CredentialUses {
  readonly query: boolean;
  /** Whether the agent tells of requests in their traces. Default: it does not */
  readonly trace?: boolean;
  /** Lower-case names of the request headers that conditions read. */
  readonly requestHeaders: readonly string[];
  /** Where bodies are looked into. Default: nowhere */
  readonly bodies?: readonly BodyPlace[];
}

export interface Argument {
  /** HAProxy's sample expression. */
  readonly sample: string;
  /** `always`, or when policies need it. */
  readonly sent: CredentialKind["sent"] | "where a policy reads it" | "with `traces`";
  /** One line for the documentation. */
  readonly meaning: string;
}

/**
 * What HAProxy tells the agent of a request. Headers are read by `fhdr`: `hdr` splits at commas and gives the last
 * piece, so `Host: evil,orders.example.com` would be judged as one host and forwarded as another.
 */
export const ARGUMENTS: Readonly<Record<string, Argument>> = {
  id: { sample: `var(${OWN.id})`, sent: "always", meaning: "the request's id, 32 hexadecimal digits made by HAProxy" },
  src: { sample: "src", sent: "always", meaning: "client address" },
  tls: { sample: "ssl_fc", sent: "always", meaning: "whether the client's connection to HAProxy is TLS" },
  method: { sample: "method", sent: "always", meaning: "request method" },
  host: { sample: "req.fhdr(host)", sent: "always", meaning: "the Host header or :authority, as it came" },
  path: { sample: "path", sent: "always", meaning: "the path as it is forwarded, without query" },
  query: { sample: "query", sent: "where a policy reads it", meaning: "the query without `?`" },
  body: {
    sample: `var(${OWN.body})`,
    sent: "where a policy reads it",
    meaning: "the body, as much of it as fits into HAProxy's buffer; nothing where no policy looks into bodies",
  },
  ...argumentsOfKinds(CREDENTIAL_KINDS),
  trace: {
    sample: "req.fhdr(traceparent)",
    sent: "with `traces`",
    meaning: "the trace that the request belongs to (W3C Trace Context)",
  },
  contract: { sample: "str(...)", sent: "always", meaning: "what this HAProxy does with the answer" },
};

/** By name; what several kinds share is told of the first. */
function argumentsOfKinds(kinds: readonly CredentialKind[]): Readonly<Record<string, Argument>> {
  const byName: Record<string, Argument> = {};
  for (const part of kinds.flatMap(partsOf)) byName[part.argument] ??= part;
  return byName;
}

/** A kind's argument, and those of its parts and conditions. */
function partsOf(kind: CredentialKind): readonly (Argument & { readonly argument: string })[] {
  const { sent, parts = [], conditions = [] } = kind;
  return [
    kind,
    ...[...parts, ...conditions].map(({ argument, sample, meaning }) => ({ argument, sample, meaning, sent })),
  ];
}

/** Name of the argument that carries a request header, `h_x-tenant`. */
export function headerArgument(header: string): `h_${string}` {
  return `h_${header}`;
}

function reads(name: string, { query, bodies = [] }: ArgumentUses): boolean {
  return name === "body" ? bodies.length > 0 : query;
}

/** The arguments of one generated SPOE message, in the order of the table, with their sample expressions. */
export function argumentsOf(uses: ArgumentUses, contract: Contract): readonly { name: string; sample: string }[] {
  const { contract: _, trace, ...others } = ARGUMENTS;
  const kinds = sentKinds(uses);
  const credentials = argumentsOfKinds(kinds);
  const query = uses.query || kinds.some(({ signs = [] }) => signs.includes("query"));
  const fixed = Object.entries(others).filter(
    ([name, { sent }]) =>
      sent === "always" ||
      (sent === "where a policy reads it" ? reads(name, { ...uses, query }) : Object.hasOwn(credentials, name)),
  );
  return [
    ...Object.entries({ ...Object.fromEntries(fixed), ...credentials }).map(([name, { sample }]) => ({ name, sample })),
    ...(uses.trace === true && trace !== undefined ? [{ name: "trace", sample: trace.sample }] : []),
    { name: "contract", sample: `str(${contractText(contract)})` },
    ...uses.requestHeaders.map((header) => ({ name: headerArgument(header), sample: `req.fhdr(${header})` })),
  ];
}
