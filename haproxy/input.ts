import { isHeaderName, MOST_HEADERS } from "./contract.ts";
import { isPrincipalVariable, type VariableName } from "./variables.ts";

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
  /** What the access log tells of a principal beside its subject. Default: nothing */
  readonly logged?: readonly VariableName[];
  /** Largest ACK that the agent can write for this contract, in bytes. */
  readonly largestAck: number;
  /**
   * The SPOE file as haproxy.cfg names it. A relative one is found beside haproxy.cfg.
   * Default: `countersign.spoe.conf`
   */
  readonly spoeFile?: string;
}

/** The principal variables that the rendered HAProxy asks for: they go into its access log. */
export function loggedVariables({ logged = [] }: Pick<RenderInput, "logged">): readonly VariableName[] {
  return ["subject", ...logged.filter((name) => name !== "subject")];
}

/** The agent's backend in haproxy.cfg. */
export const AGENT_BACKEND = "countersign-agent";

/** Free text that HAProxy reads as one line of plain words: ASCII without quotes, backslash or comment. */
const WORDS = /^[ !$-&(-[\]-~]+$/;
const ADDRESS = /^(?:unix@\/[A-Za-z0-9_./-]+|[A-Za-z0-9_.:[\]-]+:[0-9]{1,5})$/;
const BACKEND_NAME = /^[A-Za-z0-9_.:-]{1,64}$/;
const HEADER_PREFIX = /^[a-z0-9-]{2,64}$/;
const SPOE_FILE = /^[A-Za-z0-9_./-]+$/;
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
  const { client, backends } = input;
  demand(versionOf(input.version) !== undefined, "version", input.version);
  demand(HEADER_PREFIX.test(input.identityPrefix), "identityPrefix", input.identityPrefix);
  demand(isList(input.bind) && input.bind.every((bind) => WORDS.test(bind)), "bind", input.bind);
  demand(["http", "https"].includes(input.scheme), "scheme", input.scheme);
  demand(["connection", "proxy-protocol", "x-forwarded-for"].includes(client.from), "client.from", client.from);
  demand(
    client.trusted.every((network) => NETWORK.test(network)),
    "client.trusted",
    client.trusted,
  );
  demand(client.from !== "x-forwarded-for" || isList(client.trusted), "client.trusted", client.trusted);
  demand(isList(input.spopAddresses) && input.spopAddresses.every(isAddress), "spopAddresses", input.spopAddresses);
  demand(isCount(input.deadline), "deadline", input.deadline);
  demand(isCount(input.largestAck), "largestAck", input.largestAck);
  demand(SPOE_FILE.test(input.spoeFile ?? "x"), "spoeFile", input.spoeFile);
  demand((input.logged ?? []).every(isPrincipalVariable), "logged", input.logged);
  checkHeaders(input.uses);
  for (const { name, servers } of backends) {
    demand(BACKEND_NAME.test(name) && name !== AGENT_BACKEND && servers.every(isAddress), "backends", [name, servers]);
  }
  demand(areDistinct(backends), "backends", "a name twice");
}

function checkHeaders({ requestHeaders, identityHeaders }: RenderInput["uses"]): void {
  // HAProxy counts a message's arguments in one byte.
  demand(requestHeaders.length <= MOST_HEADERS, "uses.requestHeaders", requestHeaders.length);
  demand(requestHeaders.every(isHeaderName), "uses.requestHeaders", requestHeaders);
  demand(identityHeaders.length <= MOST_HEADERS, "uses.identityHeaders", identityHeaders.length);
  for (const { name, max } of identityHeaders) {
    demand(isHeaderName(name) && isCount(max), "uses.identityHeaders", [name, max]);
  }
  demand(areDistinct(identityHeaders), "uses.identityHeaders", "a name twice");
}

function demand(holds: boolean, name: string, value: unknown): void {
  if (!holds) throw new Error(`cannot render haproxy.cfg: ${name} ${JSON.stringify(value)}`);
}

function isAddress(text: string): boolean {
  return ADDRESS.test(text);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}

function isList(values: readonly unknown[]): boolean {
  return values.length > 0;
}

function areDistinct(named: readonly { readonly name: string }[]): boolean {
  return new Set(named.map(({ name }) => name)).size === named.length;
}
