import { addressesOf } from "../../../haproxy/check/addresses.ts";
import { OWNED_HEADERS } from "../../../haproxy/owned-headers.ts";
import { headerNameFault } from "../../../policies/judging/headers.ts";
import type { HaproxyConfig, IssuerConfig } from "../config.ts";
import { checkNetwork } from "../networks.ts";
import type { Section } from "../section.ts";
import { readBackends } from "./backends.ts";

/** Headers that clients, browsers and HAProxy cannot do without: all that begins like identity headers is deleted. */
const NEEDED = [
  ...OWNED_HEADERS.credentials,
  "accept-encoding",
  "access-control-request-method",
  "cache-control",
  "host",
  "if-match",
  "max-forwards",
  "sec-websocket-key",
  "user-agent",
  "x-request-id",
];

/** Reads `haproxy` but for its agents. @param credentials request headers that credentials stand in */
export function readHaproxy(section: Section, credentials: readonly string[]): Omit<HaproxyConfig, "agents"> {
  const client = section.section("client");
  const bind = section.texts("bind");
  checkPrefix(section, [...NEEDED, ...credentials]);
  checkClient(client);
  for (const [index, line] of bind.entries()) {
    if (!listens(line)) section.fault(["bind", index], "an address that HAProxy can listen at, such as *:443");
  }
  if (section.text("scheme") === "https" && client.text("from") === "connection" && !bind.some(hasTls)) {
    const right = "`scheme: http`, or `ssl` in `bind`, or the load balancer that does TLS in `client`";
    section.warn(["scheme"], "clients see https, but no `bind` has TLS", right);
  }
  return {
    version: section.text("version"),
    identityPrefix: section.text("identity_prefix"),
    bind,
    client: { from: client.choice<HaproxyConfig["client"]["from"]>("from"), trusted: client.texts("trusted") },
    scheme: section.choice<HaproxyConfig["scheme"]>("scheme"),
    accessLog: section.texts("access_log") as HaproxyConfig["accessLog"],
    largestBody: section.bytes("largest_body"),
    backends: readBackends(section.section("backends")),
  };
}

/** HAProxy asks a client for its certificate only where it is told to. @param section that of `haproxy` */
export function checkCertificates(section: Section, issuers: readonly IssuerConfig[]): void {
  const taker = issuers.find(
    ({ credentials, proofs = [] }) => credentials.includes("client-certificate") || proofs.includes("certificate"),
  );
  if (
    taker === undefined ||
    section.texts("bind").some((bind) => /(?:^| )verify (?:optional|required)(?: |$)/.test(bind))
  )
    return;
  const found = `no \`bind\` asks clients for the certificates that the issuer "${taker.name}" takes`;
  section.warn(["bind"], found, "`ca-file FILE verify optional` behind `ssl crt FILE`");
}

/** Whether each address of a bind line that needs a port has one, or a range of them. */
function listens(bind: string): boolean {
  return addressesOf(bind.split(" ")[0] ?? "").every(({ kind, port = 0, last = port }) => {
    return kind === "path" || kind === "other" || (port >= 1 && port <= last && last <= 65_535);
  });
}

function hasTls(bind: string): boolean {
  return /(?:^| )ssl(?: |$)|^quic/.test(bind);
}

function checkPrefix(section: Section, all: readonly string[]): void {
  const prefix = section.text("identity_prefix");
  // With `x-auth-` goes `x-auth` alone.
  const needed = all.find((name) => name.startsWith(prefix) || prefix === `${name}-`);
  if (headerNameFault(`${prefix}x`, OWNED_HEADERS) === undefined && needed === undefined) return;
  const right = `a prefix of your own, such as x-auth-: HAProxy removes all that begins so${needed === undefined ? "" : `, ${needed} too`}`;
  section.fault(["identity_prefix"], right);
}

function checkClient(client: Section): void {
  const from = client.text("from");
  const trusted = client.texts("trusted");
  for (const [index, network] of trusted.entries()) checkNetwork(client, ["trusted", index], network);
  if (from === "x-forwarded-for" && trusted.length === 0) {
    const key = client.keys().includes("trusted") ? "trusted" : "from";
    client.fault([key], "`trusted: [NETWORK]` for `x-forwarded-for`: without it any client could claim any address");
  }
  if (from === "connection" && trusted.length > 0) {
    client.fault(
      ["trusted"],
      "`from: proxy-protocol` or `from: x-forwarded-for` beside it: from a connection nobody is believed",
    );
  }
  if (from === "proxy-protocol" && trusted.length === 0) {
    client.warn(
      ["from"],
      "whoever reaches HAProxy can claim any address",
      "`trusted: [NETWORK]` unless only load balancers reach it",
    );
  }
}
