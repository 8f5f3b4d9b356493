import { chunks } from "./chunks.ts";
import { WEB_PATH } from "./input.ts";
import { inTransaction, OWN } from "./variables.ts";

/** What pages of other origins may do at some hosts (the Fetch standard, "CORS protocol"). */
export interface Cors {
  /** `https://app.example.com`, as browsers write them; `any` for all but `null`. */
  readonly origins: readonly string[] | "any";
  readonly methods: readonly string[];
  /** Names of request headers, in lower case. */
  readonly headers: readonly string[];
  /** Names of headers of answers that pages may read, in lower case. */
  readonly expose: readonly string[];
  /** Whether browsers may add credentials by themselves. */
  readonly credentials: boolean;
  /** Seconds for which a browser need not ask again. */
  readonly maxAge: number;
}

/** Hosts for which the same holds. */
export interface HostCors {
  /** `orders.example.com`, or `*.example.com` for all below it that are not named themselves. */
  readonly hosts: readonly string[];
  /** Undefined where nothing is said of pages, although the host is below one where something is. */
  readonly cors: Cors | undefined;
}

const HOST = "req.fhdr(host),host_only,lower";
const ORIGIN = "req.fhdr(origin)";
const TAKEN = `{ var(${OWN.origin}) -m found }`;
const ASKED = `{ var(${OWN.cors}) -m found }`;
const PREFLIGHT = `{ method OPTIONS } ${TAKEN} { req.fhdr(access-control-request-method) -m found }`;

/**
 * Finds out which page asks, and has all answers tell its browser: those of backends, and HAProxy's own refusals, which
 * its script could not read otherwise. What a backend says of it does not count. It needs no agent.
 */
export function corsRules(all: readonly HostCors[]): readonly string[] {
  if (all.length === 0) return [];
  return [
    "# Whose page asks (CORS)? An origin is told back where it is listed for the host, letter by letter, and no other is.",
    ...hostRules(all),
    ...all.flatMap(({ cors }, at) => (cors === undefined ? [] : originRules(cors, at))),
    // Of two the last would be told back, listed or not; and the agent's own pages are for nobody's scripts.
    `http-request unset-var(${OWN.origin}) if { req.fhdr_cnt(origin) gt 1 } or { path -m beg ${WEB_PATH} }`,
    `http-response del-header access-control- -m beg if ${ASKED}`,
    `http-after-response set-header access-control-allow-origin %[var(${OWN.origin})] if ${TAKEN}`,
    ...all.flatMap(({ cors }, at) => (cors === undefined ? [] : answerRules(cors, at))),
    `http-after-response add-header vary origin if ${ASKED}`,
    "",
  ];
}

/** Answers what a browser asks before it sends a page's request; no backend is asked, and nobody is let in. */
export function preflightRules(all: readonly HostCors[]): readonly string[] {
  if (all.length === 0) return [];
  return [
    "# What a browser asks first is answered here: what pages may send. Whether it is let in is asked when they do.",
    `http-request set-var(${OWN.verdict}) str(none) if ${PREFLIGHT}`,
    `http-request set-var(${inTransaction("reason")}) str(preflight) if ${PREFLIGHT}`,
    ...all.flatMap(({ cors }, at) => (cors === undefined ? [] : [preflightRule(cors, at)])),
    "",
  ];
}

/** The more specific a host is, the later: the last rule that fits counts. */
function hostRules(all: readonly HostCors[]): readonly string[] {
  const hosts = all.flatMap((group, at) => group.hosts.map((host) => ({ host, at, none: group.cors === undefined })));
  const wildcards = hosts.filter(({ host }) => host.startsWith("*."));
  const rule = ({ at, none }: (typeof hosts)[number], test: string) =>
    `http-request ${none ? `unset-var(${OWN.cors})` : `set-var(${OWN.cors}) str(${at})`} if { ${HOST} ${test} }`;
  return [
    ...wildcards
      .toSorted((a, b) => a.host.length - b.host.length)
      .map((each) => rule(each, `-m end ${each.host.slice(1)}`)),
    ...all.flatMap((group, at) => {
      const exact = group.hosts.filter((host) => !host.startsWith("*."));
      return chunks(exact).map((some) => rule({ host: "", at, none: group.cors === undefined }, `-m str ${some}`));
    }),
  ];
}

function originRules({ origins }: Cors, at: number): readonly string[] {
  const set = (value: string, condition: string) =>
    `http-request set-var(${OWN.origin}) ${value} if ${isOf(at)} ${condition}`;
  if (origins === "any") return [set("str(*)", `{ ${ORIGIN} -m found } !{ ${ORIGIN} -m str null }`)];
  return chunks(origins).map((some) => set(ORIGIN, `{ ${ORIGIN} -m str ${some} }`));
}

function answerRules({ expose, credentials }: Cors, at: number): readonly string[] {
  const set = (name: string, value: string) =>
    `http-after-response set-header access-control-${name} ${value} if ${TAKEN} ${isOf(at)}`;
  return [...(credentials ? [set("allow-credentials", "true")] : []), set("expose-headers", `"${expose.join(", ")}"`)];
}

/** Not 204: behind that HAProxy 3.0 closes the connection, and 3.2 says a length, which there must not be. */
function preflightRule({ methods, headers, maxAge }: Cors, at: number): string {
  const fields = [
    `hdr access-control-allow-methods "${methods.join(", ")}"`,
    `hdr access-control-allow-headers "${headers.join(", ")}"`,
    `hdr access-control-max-age ${maxAge}`,
  ];
  return `http-request return status 200 ${fields.join(" ")} if ${PREFLIGHT} ${isOf(at)}`;
}

function isOf(at: number): string {
  return `{ var(${OWN.cors}) -m str ${at} }`;
}
