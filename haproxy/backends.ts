import type { Backend, BackendTls, RenderInput, Server } from "./input.ts";
import { AGENT_BACKEND, hostName, nameOf, serverOf, WEB_BACKEND, WEB_PATH } from "./input.ts";
import { since } from "./since.ts";

/** Our own defaults: without them those of the reader's haproxy.cfg would hold here too. */
export const DEFAULTS = "countersign-defaults";

const RESOLVERS = "countersign";

/** HAProxy's word for the authorities that the machine trusts. */
const MACHINES = "@system-ca";

/** The backends of the services, and the resolvers that any backend needs. */
export function serviceBackends(input: RenderInput): string {
  const declared = input.backends.filter(({ servers }) => servers.length > 0);
  const addresses = declared.flatMap(({ servers }) => servers.map(serverOf).map(({ address }) => address));
  const named = [...addresses, ...input.spopAddresses].some((address) => hostName(address) !== undefined);
  const sections = declared.map((backend) => {
    const lines = backend.servers.map((server, index) => `    ${serverLine(backend, serverOf(server), index + 1)}\n`);
    return `backend ${backend.name} from ${DEFAULTS}
    balance roundrobin
${dropTrailers(input.version)}${lines.join("")}`;
  });
  return [...(named ? [`resolvers ${RESOLVERS}\n    parse-resolv-conf\n`] : []), ...sections].join("\n");
}

function serverLine({ name, proto, tls, check }: Backend, server: Server, number: number): string {
  const { address, weight, maxconn, backup } = server;
  const words = ["server", `${name}${number}`, address, "check"];
  if (check !== undefined) words.push(`inter ${check.interval}ms fall ${check.fall} rise ${check.rise}`);
  words.push(...resolving(address));
  if (proto !== undefined) words.push(`proto ${proto}`);
  // ALPN is said because 3.3 and later would offer HTTP/2 by themselves.
  if (tls !== undefined) words.push(`ssl alpn ${proto ?? "http/1.1"}`, tlsWords(tls, nameOf(address, tls)));
  if (weight !== undefined) words.push(`weight ${weight}`);
  if (maxconn !== undefined) words.push(`maxconn ${maxconn}`);
  if (backup === true) words.push("backup");
  return words.join(" ");
}

/** A name that does not resolve yet must not keep HAProxy from starting; its server is down until it does. */
function resolving(address: string): readonly string[] {
  return hostName(address) === undefined ? [] : [`resolvers ${RESOLVERS} init-addr last,libc,none`];
}

/**
 * HAProxy holds the certificate against the name in `sni` where there is one, and against `verifyhost` in its health
 * checks, which have a name of their own.
 */
function tlsWords({ verify, ca, cert }: BackendTls, name: string | undefined): string {
  const words = [`verify ${verify}`];
  if (verify === "required") words.push(`ca-file ${ca ?? MACHINES}`, `verifyhost ${name}`);
  if (cert !== undefined) words.push(`crt ${cert}`);
  if (name !== undefined) words.push(`sni str(${name}) check-sni ${name}`);
  return words.join(" ");
}

/** A trailer can bear an identity header's name, and some backends fold trailers into headers. */
function dropTrailers(version: string): string {
  return indented(since(version, 3, 2, "option http-drop-request-trailers"));
}

/** The agent's own pages; empty where it has none. */
export function webBackend({ webAddress }: RenderInput): string {
  if (webAddress === undefined) return "";
  return `# The agent's own pages, ${WEB_PATH}.
backend ${WEB_BACKEND} from ${DEFAULTS}
    server web1 ${webAddress} check maxconn 64
`;
}

/**
 * The agent's backend. It must stand after the frontend: HAProxy 3.1 and later otherwise open a connection for each
 * request. Everything that a `defaults` section could change is said here.
 */
export function agentBackend(input: RenderInput): string {
  const servers = input.spopAddresses.map((address, index) => `    ${agentLine(input, address, index + 1)}\n`);
  return `# The agent. Checks are quick because nothing passes while it is down: it is found again within a quarter of a second.
backend ${AGENT_BACKEND} from ${DEFAULTS}
${indented(since(input.version, 3, 1, "mode spop", "mode tcp"))}    balance roundrobin
    # A connection that one agent refuses is tried at the next at once; nothing was asked on it yet.
    option redispatch 1
    option spop-check
    timeout connect 500ms
    timeout check 500ms
    timeout server 1m
    default-server inter 1s fastinter 250ms downinter 250ms fall 2 rise 1
${servers.join("")}`;
}

function agentLine({ agentTls }: RenderInput, address: string, number: number): string {
  const words = ["server", `agent${number}`, address, "check", ...resolving(address)];
  if (agentTls !== undefined) words.push("ssl ssl-min-ver TLSv1.2", tlsWords(agentTls, nameOf(address, agentTls)));
  return words.join(" ");
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `    ${line}\n`).join("");
}
