import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { withPod } from "../../test/support/sidecar.ts";
import { collector } from "../collector.ts";
import { minorOf, startHaproxy } from "../haproxy.ts";
import { AUDIENCE } from "../issuer.ts";
import { HOST } from "../load/load.ts";
import { freePort, type Running } from "../processes.ts";
import { folderOf, type Stage } from "../stage.ts";

/**
 * Who is let in beside the people of the benchmark's issuer, whose tokens may then be bound to a key (DPoP), and who then
 * may have logged in with a browser, too.
 */
export interface Others {
  /** Lines below `issuers`. */
  readonly issuers: readonly string[];
  /** Members of the role that the routes ask for. */
  readonly readers: readonly string[];
  /** Where else HAProxy listens. */
  readonly bind: string;
  /** The file of the keys that seal sessions. */
  readonly sessionKeys: string;
}

/** What a Countersign is configured for. */
export interface Variant {
  readonly name: string;
  readonly transport: "unix" | "tcp";
  readonly routes: number;
  /** Services that share the routes, and ten hosts; default: one, with one host. */
  readonly services?: number;
  readonly headers: number;
  /** CEL, on every route. */
  readonly when?: string;
  readonly decisions: "refused" | "all";
  /** Identities it keeps; default: the configuration's own default. */
  readonly identities?: number;
  /** Processes that answer HAProxy; default: one. */
  readonly workers?: number;
  readonly others?: Others;
  /** What is made of each decision besides. */
  readonly also?: "audit" | "assertion" | "traces";
}

/** Files for one agent and its HAProxy, and where they are to listen. */
export interface Configured {
  readonly folder: string;
  readonly file: string;
  readonly port: number;
  readonly admin: number;
  /** Undefined where nothing is published. */
  readonly web?: number;
  readonly spop: { readonly path: string } | { readonly host: string; readonly port: number };
}

/** Claims that become identity headers; the first two are also those of the `jwt_verify` row. */
const HEADERS = [
  "x-auth-subject: principal.subject",
  "x-auth-tenant: principal.claims.tenant",
  "x-auth-issuer: principal.issuer",
  "x-auth-kind: principal.kind",
  "x-auth-groups: list(principal.groups)",
  "x-auth-roles: list(principal.roles)",
  "x-auth-scopes: list(principal.scopes)",
  "x-auth-region: principal.claims.region",
  "x-auth-department: principal.claims.department",
  "x-auth-client: principal.claims.client_id",
  "x-auth-session: principal.claims.sid",
  "x-auth-token: principal.claims.jti",
];

/** A person who may, with a claim for each header. */
export function claimsOf(n: number) {
  return {
    ...{ sub: `person-${n}@example.com`, groups: ["Orders Readers", "Everyone"], scp: ["orders:read"] },
    ...{ tenant: "emea", region: "eu-west-1", department: "fulfilment", client_id: "orders-web", amr: ["mfa"] },
    ...{ sid: `session-${n}`, jti: `token-${n}` },
  };
}

/** A path of the route in the middle of so many. */
export function pathOf(routes: number): string {
  return `/v1/things-${Math.floor(routes / 2)}/42`;
}

/** Every policy has this route beside the others; nobody in the benchmark has its role. */
export const REFUSED_PATH = "/v1/administration";
const ADMINISTRATION = `      - { name: administration, match: ["GET ${REFUSED_PATH}"], allow: [administrator] }\n`;

/** Ten hosts, that of the load among them. */
const SHARED_HOSTS = [HOST, ...Array.from({ length: 9 }, (_, n) => `host-${n}.example.com`)];

const ROOT = resolve(import.meta.dirname, "../..");
const BUILT = join(ROOT, "dist/agent/main.js");
const run = promisify(execFile);

/** The command line of `countersign`: the built agent where there is one. */
export const COUNTERSIGN = existsSync(BUILT) ? BUILT : join(ROOT, "agent/main.ts");

/**
 * Writes configuration and policies, and has Countersign generate HAProxy's side, as a user would.
 *
 * @param program the command line of the version that does it
 */
export async function configure(stage: Stage, variant: Variant, program = COUNTERSIGN): Promise<Configured> {
  const folder = folderOf(stage, variant.name);
  const spop =
    variant.transport === "unix" ? { path: join(folder, "spop.sock") } : { host: "127.0.0.1", port: await freePort() };
  const file = join(folder, "countersign.yaml");
  const configured = { folder, file, spop, port: await freePort(), admin: await freePort(), web: await freePort() };
  mkdirSync(join(folder, "policies"), { recursive: true });
  const also = variant.also === undefined ? "" : ALSO[variant.also](await collector());
  writeFileSync(file, `${configuration(stage, variant, configured)}${also}`);
  writeFileSync(join(folder, "policies/orders.yaml"), policy(variant));
  writeFileSync(join(folder, "threads.cfg"), `global\n    nbthread ${stage.cores}\n`);
  if (variant.also === "audit") await run(process.execPath, [program, "audit", "init", "--config", file]);
  if (variant.also === "assertion") await run(process.execPath, [program, "keys", "rotate", join(folder, "keys.json")]);
  await run(process.execPath, [program, "generate", "haproxy", "--config", file, "--output", folder]);
  if (variant.others !== undefined) {
    const rules = join(folder, "haproxy.cfg");
    writeFileSync(rules, withPod(readFileSync(rules, "utf8")));
  }
  return configured;
}

/** Starts HAProxy on the generated files; the number of threads is all that is added, in the first file as it must be. */
export function startGenerated(
  stage: Stage,
  { folder, port }: Configured,
  more: readonly string[] = [],
): Promise<Running> {
  const files = [join(folder, "threads.cfg"), join(folder, "haproxy.cfg")];
  return startHaproxy(stage.processes, stage.haproxy, files, port, more);
}

function configuration(
  stage: Stage,
  { decisions, identities, workers = 1, others, also }: Variant,
  { spop, port, admin, web }: Configured,
): string {
  return `listen:
  spop: [${"path" in spop ? `unix:${spop.path}` : `${spop.host}:${spop.port}`}]
  admin: 127.0.0.1:${admin}
${also === "assertion" || others !== undefined ? `  web: 127.0.0.1:${web}\n` : ""}workers: ${workers}
policies: ./policies
issuers:
  bench: { type: oidc, issuer: ${stage.issuer.url}, audiences: [${AUDIENCE}], kind: person${others === undefined ? "" : `, proofs: [dpop], login: ${LOGIN}`} }
${(others?.issuers ?? []).map((line) => `  ${line}\n`).join("")}${others === undefined ? "" : `sessions: { origins: ["https://${HOST}"], keys: "${others.sessionKeys}" }\n`}haproxy:
  version: "${minorOf(stage.haproxy)}"
  identity_prefix: x-auth-
  bind: ${JSON.stringify([`127.0.0.1:${port}`, ...(others === undefined ? [] : [others.bind])])}
  scheme: http
  backends: { orders: ["127.0.0.1:${stage.backend}"] }
${identities === undefined ? "" : `cache: { identities: ${identities} }\n`}log: { decisions: ${decisions} }
`;
}

/** Nobody logs in while anything is measured. */
const LOGIN = "{ client: { id: bench, secret: bench-secret }, scopes: [openid] }";

/** Beside the configuration, whose folder holds the files. */
const ALSO: Readonly<Record<NonNullable<Variant["also"]>, (collector: string) => string>> = {
  audit: () => "audit: { file: audit.log, key: audit.key }\n",
  assertion: () => "assertion: { issuer: https://ingress.example.com, keys: keys.json }\n",
  traces: (endpoint) => `traces: { endpoint: "${endpoint}" }\n`,
};

/** The policies of a variant. A reload is the same text with another comment at its end. */
export function policy({ routes, services = 1, headers, when, others }: Variant): string {
  const condition = when === undefined ? "" : `, when: '${when}'`;
  const each = routes / services;
  const things = Array.from({ length: routes }, (_, i) => {
    return `      - { name: things-${i}, match: ["GET /v1/things-${i}/{id}"], allow: [reader]${condition} }\n`;
  });
  const sharing = Array.from({ length: services }, (_, n) => {
    const name = n === 0 ? "orders" : `orders-${n}`;
    return `  ${name}:
    hosts: [${(services === 1 ? [HOST] : SHARED_HOSTS).join(", ")}]
    backend: orders
    headers: { ${HEADERS.slice(0, headers).join(", ")} }
    routes:
${n === 0 ? ADMINISTRATION : ""}${things.slice(n * each, (n + 1) * each).join("")}`;
  });
  return `roles:
  reader: [${["{ issuer: bench, group: Orders Readers }", ...(others?.readers ?? [])].join(", ")}]
  administrator: [{ issuer: bench, group: Orders Admins }]
services:
${sharing.join("")}`;
}
