import type { BodyPlace } from "./bodies.ts";
import { isHeaderName, MOST_HEADERS } from "./contract.ts";
import type { HostCors } from "./cors.ts";
import { type CredentialUses, credentialKind } from "./credentials.ts";
import { MESH_BIND, type MeshBind, readsMesh } from "./mesh-bind.ts";
import { backendHeader, isPrincipalVariable, type VariableName } from "./variables.ts";

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
  /** The TLS that all of them speak. Default: none */
  readonly agentTls?: BackendTls | undefined;
  /** Where the agent has its own pages, in the same form. Default: nowhere */
  readonly webAddress?: string | undefined;
  /** Time the agent takes at most, in milliseconds; HAProxy waits 100 longer. */
  readonly deadline: number;
  /** The backends that policies name. */
  readonly backends: readonly Backend[];
  /** What the policies read of a request and promise a backend. */
  readonly uses: CredentialUses & {
    readonly query: boolean;
    readonly trace?: boolean;
    readonly requestHeaders: readonly string[];
    readonly identityHeaders: readonly { readonly name: string /** bytes */; readonly max: number }[];
    /** Where the agent looks into bodies. Default: nowhere */
    readonly bodies?: readonly BodyPlace[];
  };
  /** Bytes of the largest body that it can look into. */
  readonly largestBody?: number;
  /** What HAProxy itself tells OAuth clients of where to get a token. Default: nothing */
  readonly metadata?: Metadata | undefined;
  /** Networks of the hops whose word counts, by the request header that it stands in. Default: none */
  readonly hops?: Readonly<Record<string, readonly string[]>>;
  /** Where meshed clients come in; undefined where none are told from others. */
  readonly mesh?: MeshBind | undefined;
  /** What pages of other origins may do at which hosts; no host is there twice. Default: nothing is said of them */
  readonly cors?: readonly HostCors[];
  /** What the access log tells of a principal beside its subject. Default: nothing */
  readonly logged?: readonly VariableName[];
  /** Variables from which it sets headers of its own for backends, such as `mesh_identity`. Default: none */
  readonly backendVariables?: readonly VariableName[];
  /** Largest ACK that the agent can write for this contract, in bytes. */
  readonly largestAck: number;
}

/** The metadata of protected resources (RFC 9728), and where clients look for what is not there. */
export interface Metadata {
  readonly documents: readonly {
    /** A host name or address, in lower case, without port. */
    readonly host: string;
    readonly path: string;
    /** JSON in ASCII on one line. */
    readonly body: string;
  }[];
  /** Hosts at which nobody is an authorization server. */
  readonly serverless: readonly string[];
  /** Hosts at which no client can register: nothing else is at `/register`. */
  readonly closed: readonly string[];
}

/** A backend. Without servers it is the reader's own: the fragment then leaves it out. */
export interface Backend {
  readonly name: string;
  /** Addresses, `10.0.0.7:8080` or `unix@/path`, or servers that have more to them. */
  readonly servers: readonly (string | Server)[];
  /** HTTP/2 from the first byte, or by ALPN where there is TLS; default: HTTP/1.1. */
  readonly proto?: "h2" | undefined;
  readonly tls?: BackendTls | undefined;
  readonly check?: HealthCheck | undefined;
}

export interface Server {
  readonly address: string;
  /** Share of the requests, 1 to 256. */
  readonly weight?: number | undefined;
  /** Most connections. */
  readonly maxconn?: number | undefined;
  /** Only for when all others are down. */
  readonly backup?: boolean | undefined;
}

export interface BackendTls {
  readonly verify: "required" | "none";
  /** Absolute path of the authorities' certificates, as HAProxy sees it; default: the machine's. */
  readonly ca?: string | undefined;
  /** Absolute path of the certificate and key that HAProxy shows. */
  readonly cert?: string | undefined;
  /** What the server's certificate must name, and is asked for (SNI); default: the host name in the server's address. */
  readonly serverName?: string | undefined;
}

export interface HealthCheck {
  /** Milliseconds. */
  readonly interval: number;
  readonly fall: number;
  readonly rise: number;
}

/** The principal variables that the rendered HAProxy asks for: they go into its access log. */
export function loggedVariables({ logged = [] }: Pick<RenderInput, "logged">): readonly VariableName[] {
  return ["subject", ...logged.filter((name) => name !== "subject")];
}

/** The headers that it adds to requests by answers, with the largest value of each in bytes. */
export function addedHeaders({ uses, backendVariables = [] }: Pick<RenderInput, "uses" | "backendVariables">) {
  return [...uses.identityHeaders, ...backendVariables.flatMap((name) => backendHeader(name) ?? [])];
}

/** What policies and answers together need of a buffer. */
export function addedUses(input: Pick<RenderInput, "uses" | "backendVariables">): RenderInput["uses"] {
  return { ...input.uses, identityHeaders: addedHeaders(input) };
}

/** The agent's backend in haproxy.cfg. */
export const AGENT_BACKEND = "countersign-agent";
/** The backend of its own pages, and how their paths begin. */
export const WEB_BACKEND = "countersign-web";
export const WEB_PATH = "/.countersign/";
/** Where people begin to log in. */
export const LOGIN_PATH = `${WEB_PATH}login`;

/** Before the name of an issuer, whose provider tells there who has logged out. */
export const BACKCHANNEL_PATH = `${WEB_PATH}backchannel-logout/`;

/** How the pages for people look. */
export const STYLE_PATH = `${WEB_PATH}style.css`;

/** Free text that HAProxy reads as one line of plain words: ASCII without quotes, backslash or comment. */
const WORDS = /^[ !$-&(-[\]-~]+$/;
const ADDRESS = /^(?:unix@\/[A-Za-z0-9_./-]+|[A-Za-z0-9_.:[\]-]+:[0-9]{1,5})$/;
const NAMED_HOST = /^([A-Za-z0-9._-]*[A-Za-z][A-Za-z0-9._-]*):[0-9]+$/;
const HOST_NAME = /^[A-Za-z0-9._-]{1,253}$/;
const JUDGED_HOST = /^(?:\*\.)?[A-Za-z0-9._:[\]-]{1,255}$/;
const PLAIN_PATH = /^\/[A-Za-z0-9._~/-]{0,1023}$/;
const ABSOLUTE_PATH = /^\/[A-Za-z0-9_./+@:=-]+$/;
const BACKEND_NAME = /^[A-Za-z0-9_.:-]{1,64}$/;
const HEADER_PREFIX = /^[a-z0-9-]{2,64}$/;
const URL_HOST = /^(?:[a-z0-9_.-]{1,253}|\[[0-9a-f:]{2,45}\])$/;
/** No character of these ends a word in single quotes. */
const METADATA_PATH = /^\/\.well-known\/oauth-protected-resource[\w.~!&()*+:@/-]*$/;
const JSON_LINE = /^\{[ -&(-~]{0,8192}\}$/;
const CORS_HOST = /^(?:\*\.)?[a-z0-9._-]{1,253}$|^\[[0-9a-f:.]{2,45}\]$/;
const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/;
const METHOD = /^[A-Z0-9_-]{1,32}$/;
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
  const { agentTls } = input;
  if (agentTls !== undefined) {
    // Whoever else answers says who may pass, and whoever else asks sees tokens.
    demand(agentTls.verify === "required" && agentTls.cert !== undefined && isTls(agentTls), "agentTls", agentTls);
    demand(
      input.spopAddresses.every((address) => nameOf(address, agentTls) !== undefined),
      "agentTls",
      agentTls,
    );
  }
  demand(input.webAddress === undefined || isAddress(input.webAddress), "webAddress", input.webAddress);
  demand(isCount(input.deadline), "deadline", input.deadline);
  demand(isCount(input.largestAck), "largestAck", input.largestAck);
  demand((input.logged ?? []).every(isPrincipalVariable), "logged", input.logged);
  const { backendVariables = [] } = input;
  demand(
    backendVariables.every((name) => backendHeader(name) !== undefined),
    "backendVariables",
    backendVariables,
  );
  checkMetadata(input.metadata);
  checkHeaders(input.uses);
  checkBodies(input);
  checkCredentials(input);
  checkMesh(input);
  for (const group of input.cors ?? []) checkCors(group);
  for (const backend of backends) checkBackend(backend);
  demand(areDistinct(backends), "backends", "a name twice");
}

function checkBodies({ uses: { bodies = [] }, largestBody = 1 }: RenderInput): void {
  demand(isCount(largestBody), "largestBody", largestBody);
  for (const { hosts, methods, path, end } of bodies) {
    demand(isList(hosts) && hosts.every((host) => JUDGED_HOST.test(host)), "uses.bodies", hosts);
    demand(isList(methods) && methods.every((method) => METHOD.test(method)), "uses.bodies", methods);
    demand(PLAIN_PATH.test(path), "uses.bodies", path);
    demand(end === "" || PLAIN_PATH.test(end), "uses.bodies", end);
  }
}

function checkMetadata(metadata: Metadata | undefined): void {
  if (metadata === undefined) return;
  const { documents, serverless, closed } = metadata;
  for (const { path, body } of documents) {
    demand(METADATA_PATH.test(path), "metadata", path);
    demand(JSON_LINE.test(body), "metadata", body);
  }
  for (const host of [...documents.map(({ host }) => host), ...serverless, ...closed])
    demand(URL_HOST.test(host), "metadata", host);
}

const MESH_ADDRESS = /^(?:\*|[0-9.]{7,15}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}$/;

/** Without its bind nobody is told from others by the mesh; and no other has its name. */
function checkMesh({ mesh, uses, bind }: RenderInput): void {
  demand(readsMesh(uses) === (mesh !== undefined), "mesh", mesh);
  demand(mesh === undefined || MESH_ADDRESS.test(mesh.address), "mesh", mesh);
  demand(!bind.some((words) => words.split(" ").includes(MESH_BIND)), "bind", bind);
}

function checkCredentials({ uses: { credentials }, hops = {} }: RenderInput): void {
  for (const name of credentials) {
    const kind = credentialKind(name);
    demand(kind !== undefined, "uses.credentials", credentials);
    if (kind?.hop === undefined) continue;
    const networks = Object.hasOwn(hops, kind.hop) ? (hops[kind.hop] ?? []) : [];
    demand(isList(networks) && networks.every((network) => NETWORK.test(network)), "hops", [kind.hop, networks]);
  }
}

function checkCors({ hosts, cors }: HostCors): void {
  demand(isList(hosts) && hosts.every((host) => CORS_HOST.test(host)), "cors.hosts", hosts);
  if (cors === undefined) return;
  const { origins, methods, headers, expose, maxAge } = cors;
  demand(
    origins === "any" ? !cors.credentials : isList(origins) && origins.every((origin) => ORIGIN.test(origin)),
    "cors.origins",
    origins,
  );
  demand(isList(methods) && methods.every((method) => METHOD.test(method)), "cors.methods", methods);
  demand([...headers, ...expose].every(isHeaderName), "cors.headers", [headers, expose]);
  demand(Number.isSafeInteger(maxAge) && maxAge >= 0, "cors.maxAge", maxAge);
}

function checkBackend({ name, servers, proto, tls, check }: Backend): void {
  const fit = (holds: boolean, value: unknown) => demand(holds, "backends", [name, value]);
  fit(BACKEND_NAME.test(name) && ![AGENT_BACKEND, WEB_BACKEND].includes(name), servers);
  fit(proto === undefined || proto === "h2", proto);
  fit(check === undefined || [check.interval, check.fall, check.rise].every(isCount), check);
  for (const { address, weight = 1, maxconn = 1, backup = false } of servers.map(serverOf)) {
    fit(isAddress(address) && isCount(weight) && isCount(maxconn) && typeof backup === "boolean", address);
    // Without a name any certificate of the authority would do.
    fit(tls?.verify !== "required" || nameOf(address, tls) !== undefined, tls);
  }
  fit(tls === undefined || isTls(tls), tls);
}

function isTls({ verify, serverName = "x", ca = "/x", cert = "/x" }: BackendTls): boolean {
  const fit = ["required", "none"].includes(verify) && HOST_NAME.test(serverName);
  return fit && [ca, cert].every((path) => ABSOLUTE_PATH.test(path));
}

/** A server that is an address alone. */
export function serverOf(server: string | Server): Server {
  return typeof server === "string" ? { address: server } : server;
}

/** The host of an address that is a name; undefined for numeric addresses and unix sockets. */
export function hostName(address: string): string | undefined {
  return NAMED_HOST.exec(address)?.[1];
}

/** Whom a server's certificate has to be for. */
export function nameOf(address: string, { serverName }: BackendTls): string | undefined {
  return serverName ?? hostName(address);
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

/** @throws Error that names the value, where it does not hold */
export function demand(holds: boolean, name: string, value: unknown): void {
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
