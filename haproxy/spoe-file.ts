import { argumentsOf, MESSAGE } from "./arguments.ts";
import type { Contract } from "./contract.ts";
import type { RenderInput } from "./input.ts";
import { AGENT_BACKEND, demand, versionOf } from "./input.ts";
import { VARIABLE_PREFIX } from "./variables.ts";

/** Name of the SPOE engine in `filter spoe engine` and of the agent's section. */
export const ENGINE = "countersign";

/** The SPOE file's name; beside a generated haproxy.cfg it is found by it. */
export const SPOE_FILE = "countersign.spoe.conf";

/** Whether HAProxy can be told this path: no character within its single quotes means anything, but these end them. */
export function isNameable(path: string): boolean {
  return path.startsWith("/") && !/['\p{Cc}]/u.test(path);
}

/**
 * The SPOE file's path as a word of haproxy.cfg.
 *
 * @throws Error where it is relative, or holds what no word can
 */
export function spoeFileWord(path: string): string {
  demand(isNameable(path), "spoeFile", path);
  return /^[A-Za-z0-9_./-]+$/.test(path) ? path : `'${path}'`;
}

/** HAProxy waits this much longer than the agent takes, in milliseconds: an answer in time is never thrown away. */
export const PROCESSING_MARGIN = 100;

/** The text of the SPOE file: how HAProxy reaches the agent, and what it tells it. */
export function spoeFile(input: RenderInput, contract: Contract): string {
  const timeout = input.deadline + PROCESSING_MARGIN;
  return `# What HAProxy tells the Countersign agent of a request. Rendered by "countersign generate haproxy": do not edit.
[${ENGINE}]

spoe-agent ${ENGINE}
    groups ${MESSAGE}
    use-backend ${AGENT_BACKEND}
    option var-prefix ${VARIABLE_PREFIX}
    # No answer in time leaves no verdict, and without a verdict nothing passes.
    timeout processing ${timeout}ms
    option set-on-error error
${applets(input.version, timeout)}
spoe-group ${MESSAGE}
    messages ${MESSAGE}

spoe-message ${MESSAGE}
${argumentsOf(input.uses, contract)
  .map(({ name, sample }) => `    args ${name}=${sample}\n`)
  .join("")}`;
}

/** HAProxy 3.1 and later ignore these: connections are then kept by the backend, as for HTTP. */
function applets(version: string, timeout: number): string {
  const { major, minor } = versionOf(version) ?? { major: 0, minor: 0 };
  if (major === 3 && minor >= 1) return "";
  return `    # For HAProxy before 3.1; later ones ignore it. Without the last line a request too big for one frame would be
    # sent again and again.
    timeout hello ${timeout}ms
    timeout idle 30s
    no option async
    no option send-frag-payload
`;
}
