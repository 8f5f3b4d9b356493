import { isHeaderName } from "./contract.ts";

/** What the files are rendered from; plain data, so that this room needs to know neither configuration nor policies. */
export interface RenderInput {
  /** Oldest HAProxy that has to read the files, "2.6" to "3.5"; they work on the later ones too. */
  readonly version: string;
  /** Start of the identity headers' names, such as `x-auth-`: whatever a client sends under it is removed. */
  readonly identityPrefix: string;
  /** Arguments of the `bind` lines, at least one. */
  readonly bind: readonly string[];
  /** As clients see it. */
  readonly scheme: "http" | "https";
  readonly client: {
    /** Who says where a client comes from: its connection, a PROXY protocol header, or X-Forwarded-For. */
    readonly from: "connection" | "proxy-protocol" | "x-forwarded-for";
    /** Networks of the load balancers that are believed, such as `10.0.0.0/8`. */
    readonly trusted: readonly string[];
  };
  /** Where the agent listens, `127.0.0.1:9000` or `unix@/path`; at least one. */
  readonly spopAddresses: readonly string[];
  /** Time the agent takes at most, in milliseconds; HAProxy waits 100 longer. */
  readonly deadline: number;
  /** The backends that policies name. Without servers it is the reader's own: the fragment then leaves it out. */
  readonly backends: readonly { readonly name: string; readonly servers: readonly string[] }[];
  /** What the policies read of a request and promise a backend. */
  readonly uses: {
    readonly query: boolean;
    readonly requestHeaders: readonly string[];
    readonly identityHeaders: readonly { readonly name: string /** bytes */; readonly max: number }[];
  };
  /** Largest ACK that the agent can write for this contract, in bytes. */
  readonly largestAck: number;
  /**
   * The SPOE file as haproxy.cfg names it. A relative one is found beside haproxy.cfg.
   * Default: `countersign.spoe.conf`
   */
  readonly spoeFile?: string;
}

/** The agent's backend in haproxy.cfg. */
export const AGENT_BACKEND = "countersign-agent";

const ADDRESS = /^[A-Za-z0-9_.:@/[\]-]+$/;
const BACKEND_NAME = /^[A-Za-z0-9_.:-]{1,64}$/;
const HEADER_PREFIX = /^[a-z0-9-]{2,64}$/;
const NETWORK = /^[0-9A-Fa-f.:]+(\/[0-9]{1,3})?$/;

/** Major and minor version, or `undefined` for one that HAProxy never had or the contract does not fit. */
export function versionOf(text: string): { readonly major: number; readonly minor: number } | undefined {
  const match = /^(2\.[6-9]|3\.[0-5])$/.exec(text);
  return match === null ? undefined : { major: Number(text[0]), minor: Number(text.slice(2)) };
}

/**
 * Refuses what would end up as something else in the rendered files: a line break in a `bind`, a blank in an address.
 *
 * @throws Error that names the value; configuration and policies have been checked before, so it is a bug or an attack
 */
export function checkInput(input: RenderInput): void {
  const { uses, backends } = input;
  demand(versionOf(input.version) !== undefined, "version", input.version);
  demand(HEADER_PREFIX.test(input.identityPrefix), "identityPrefix", input.identityPrefix);
  demand(input.bind.length > 0 && input.bind.every(isOneLine), "bind", input.bind);
  demand(input.scheme === "http" || input.scheme === "https", "scheme", input.scheme);
  demand(
    input.client.trusted.every((network) => NETWORK.test(network)),
    "client.trusted",
    input.client.trusted,
  );
  demand(input.client.from !== "x-forwarded-for" || input.client.trusted.length > 0, "client.trusted", "none");
  demand(input.spopAddresses.length > 0 && input.spopAddresses.every(isAddress), "spopAddresses", input.spopAddresses);
  demand(Number.isSafeInteger(input.deadline) && input.deadline > 0, "deadline", input.deadline);
  demand(Number.isSafeInteger(input.largestAck) && input.largestAck > 0, "largestAck", input.largestAck);
  demand(isOneLine(input.spoeFile ?? "x") && !input.spoeFile?.includes("'"), "spoeFile", input.spoeFile);
  demand(uses.requestHeaders.every(isHeaderName), "uses.requestHeaders", uses.requestHeaders);
  for (const { name, max } of uses.identityHeaders) {
    demand(isHeaderName(name) && Number.isSafeInteger(max) && max > 0, "uses.identityHeaders", [name, max]);
  }
  for (const { name, servers } of backends) {
    demand(BACKEND_NAME.test(name) && name !== AGENT_BACKEND && servers.every(isAddress), "backends", [name, servers]);
  }
  demand(new Set(backends.map(({ name }) => name)).size === backends.length, "backends", "a name twice");
}

function demand(holds: boolean, name: string, value: unknown): void {
  if (!holds) throw new Error(`cannot render haproxy.cfg: ${name} ${JSON.stringify(value)}`);
}

function isAddress(text: string): boolean {
  return ADDRESS.test(text);
}

/** Free text that HAProxy is to read as one line: no line break or other control, no comment. */
function isOneLine(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text !== "" && !/[\u0000-\u001f\u007f#]/.test(text);
}
