import type { RenderInput } from "./input.ts";
import { AGENT_BACKEND } from "./input.ts";
import { since } from "./since.ts";

/** Our own defaults: without them those of the reader's haproxy.cfg would hold here too. */
export const DEFAULTS = "countersign-defaults";

const RESOLVERS = "countersign";

const NAMED_HOST = /^[A-Za-z0-9._-]*[A-Za-z][A-Za-z0-9._-]*:[0-9]+$/;

/** The backends of the services, and the resolvers they need. */
export function serviceBackends(input: RenderInput): string {
  const declared = input.backends.filter(({ servers }) => servers.length > 0);
  const named = declared.some(({ servers }) => servers.some((server) => NAMED_HOST.test(server)));
  const sections = declared.map(({ name, servers }) => {
    const lines = servers.map((server, index) => `    server ${name}${index + 1} ${server} check${resolved(server)}\n`);
    return `backend ${name} from ${DEFAULTS}
    balance roundrobin
${dropTrailers(input.version)}${lines.join("")}`;
  });
  return [...(named ? [`resolvers ${RESOLVERS}\n    parse-resolv-conf\n`] : []), ...sections].join("\n");
}

/** A name that does not resolve yet must not keep HAProxy from starting; its server is down until it does. */
function resolved(server: string): string {
  return NAMED_HOST.test(server) ? ` resolvers ${RESOLVERS} init-addr last,libc,none` : "";
}

/** A trailer can bear an identity header's name, and some backends fold trailers into headers. */
function dropTrailers(version: string): string {
  return indented(since(version, 3, 2, "option http-drop-request-trailers"));
}

/**
 * The agent's backend. It must stand after the frontend: HAProxy 3.1 and later otherwise open a connection for each
 * request. Everything that a `defaults` section could change is said here.
 */
export function agentBackend(input: RenderInput): string {
  const servers = input.spopAddresses.map((address, index) => `    server agent${index + 1} ${address} check\n`);
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

function indented(lines: readonly string[]): string {
  return lines.map((line) => `    ${line}\n`).join("");
}
