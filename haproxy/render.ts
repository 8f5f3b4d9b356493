import { agentBackend, DEFAULTS, serviceBackends, webBackend } from "./backends.ts";
import { buffersFor, DEFAULT_BUFSIZE, DEFAULT_MAXREWRITE } from "./buffers.ts";
import type { Contract } from "./contract.ts";
import { frontendRules } from "./frontend-rules.ts";
import type { RenderInput } from "./input.ts";
import { addedUses, checkInput, loggedVariables } from "./input.ts";
import { AT_MESH_BIND, meshBind } from "./mesh-bind.ts";
import { SPOE_FILE, spoeFile, spoeFileWord } from "./spoe-file.ts";

/** The two files of a HAProxy that does nothing but this. The same input gives the same bytes. */
export interface HaproxyFiles {
  readonly "haproxy.cfg": string;
  readonly "countersign.spoe.conf": string;
}

/** What the rendered HAProxy does with an answer: the variables go into its access log, the headers to the backend. */
export function contractOf(input: Pick<RenderInput, "uses" | "logged" | "backendVariables">): Contract {
  const headers = input.uses.identityHeaders.map(({ name }) => name);
  return { version: 1, variables: [...loggedVariables(input), ...(input.backendVariables ?? [])], headers };
}

/**
 * Renders the whole configuration of a HAProxy, and the SPOE file.
 *
 * @throws Error where the input cannot be written safely, or a backend has no server
 */
export function renderHaproxy(input: RenderInput): HaproxyFiles {
  checkInput(input);
  const bare = input.backends.find(({ servers }) => servers.length === 0);
  if (bare !== undefined) throw new Error(`cannot render haproxy.cfg: backend "${bare.name}" has no server`);
  const { bufsize, maxrewrite } = buffersFor(input.largestAck, addedUses(input), input.largestBody);
  const text = `# HAProxy with the Countersign agent. Rendered by "countersign generate haproxy": change countersign.yaml or the
# policies and render it again. docs/haproxy.md explains every line.
global
    log stdout len 4096 format raw local0
    default-path config
    tune.bufsize ${bufsize}
    tune.maxrewrite ${maxrewrite}

${sections(input, SPOE_FILE)}`;
  return { "haproxy.cfg": text, "countersign.spoe.conf": spoeFile(input, contractOf(input)) };
}

/**
 * Renders what an existing haproxy.cfg needs besides: a second file for HAProxy's `-f`, or text for the end of the
 * first. It goes with the same SPOE file, `renderHaproxy(input)["countersign.spoe.conf"]`, which it names by its whole
 * path: a relative one would be looked for in HAProxy's working directory from the second frontend on, even with
 * `default-path config` (2.6 to 3.2).
 *
 * @param spoeFile absolute path of the SPOE file where HAProxy will read it
 * @throws Error where the input cannot be written safely
 */
export function renderFragment(input: RenderInput, spoeFile: string): string {
  checkInput(input);
  return `# Countersign for an existing haproxy.cfg. Rendered by "countersign generate haproxy --fragment"; docs/haproxy.md
# says more. The "filter spoe" line names the place of ${SPOE_FILE}. Two ways to merge it:
#
# As it is, where the clients' frontend is to do nothing else. Put the frontend's "bind" lines under haproxy.bind in
# countersign.yaml, delete it from your file, and start HAProxy with both files, yours first:
#     haproxy -f /etc/haproxy/haproxy.cfg -f /etc/haproxy/countersign.cfg
#
# Into a frontend of yours: append this file to yours, and there
#   1. move the lines from "rules begin" to "rules end" into your frontend, before its first http-request line;
#   2. delete what is left of "frontend countersign", and your frontend's own log-format, use_backend and
#      default_backend lines: the rules have theirs;
#   3. move your frontend's other http-request lines to before the rules where they rewrite what is judged (path, host),
#      else to before the rules' use_backend, where only allowed requests come.
# Each frontend that leads to a protected backend needs the rules, or it is a way around them. A backend that is in your
# file and here too is an error: keep one, or say "external" for its servers in countersign.yaml.
${ownBackends(input)}${ownBind(input)}
${globals(input)}${sections(input, spoeFileWord(spoeFile))}`;
}

/** What only the reader can do for the backends that are not rendered. */
function ownBackends({ backends }: RenderInput): string {
  const own = backends.filter(({ servers }) => servers.length === 0).map(({ name }) => name);
  if (own.length === 0) return "";
  return `#
# Yours, and not in this file: ${own.map((name) => `backend ${name}`).join(", ")}. From HAProxy 3.2 on, give each
# "option http-drop-request-trailers": a trailer can bear an identity header's name.
`;
}

/** A bind that moves with the rules, or nobody is told from others by it. */
function ownBind({ mesh }: RenderInput): string {
  if (mesh === undefined) return "";
  return `#
# Meshed clients come in at "bind ${meshBind(mesh)}": where you move the rules, move it too.
`;
}

/** Only what differs from HAProxy's defaults: a larger value of the reader's own should stay. */
function globals(input: RenderInput): string {
  const { bufsize, maxrewrite } = buffersFor(input.largestAck, addedUses(input), input.largestBody);
  const lines: string[] = [];
  if (bufsize > DEFAULT_BUFSIZE) lines.push(`tune.bufsize ${bufsize}`);
  if (maxrewrite > DEFAULT_MAXREWRITE) lines.push(`tune.maxrewrite ${maxrewrite}`);
  if (lines.length === 0) return "";
  return `# Where your file has a larger value, put that one here.\nglobal\n${lines.map((line) => `    ${line}\n`).join("")}\n`;
}

function sections(input: RenderInput, spoeFile: string): string {
  return [defaults(), frontend(input, spoeFile), serviceBackends(input), webBackend(input), agentBackend(input)]
    .filter((section) => section !== "")
    .join("\n");
}

/** What every section below inherits, and nothing else: a `defaults` section elsewhere has no say here. */
function defaults(): string {
  return `defaults ${DEFAULTS}
    mode http
    log global
    option dontlognull
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout queue 5s
    # A WebSocket is judged once, when it is opened; this bounds its idleness only.
    timeout tunnel 1h
`;
}

function frontend(input: RenderInput, spoeFile: string): string {
  const { from, trusted } = input.client;
  const { mesh } = input;
  const proxied = from === "proxy-protocol" && trusted.length === 0 ? " accept-proxy" : "";
  const expected = from === "proxy-protocol" && trusted.length > 0;
  return `frontend countersign from ${DEFAULTS}
${input.bind.map((bind) => `    bind ${bind}${proxied}\n`).join("")}${mesh === undefined ? "" : `    bind ${meshBind(mesh)}\n`}
    # ---- countersign rules begin ----
${expected ? `    tcp-request connection expect-proxy layer4 if { src ${trusted.join(" ")} }${mesh === undefined ? "" : ` !${AT_MESH_BIND}`}\n` : ""}${indented(frontendRules(input, spoeFile))}    # ---- countersign rules end ----
`;
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => (line === "" ? "\n" : `    ${line}\n`)).join("");
}
