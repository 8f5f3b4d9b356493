import { hash } from "node:crypto";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, resolve } from "node:path";
import { kindsOf } from "../../haproxy/credentials.ts";
import { wholeIdentity } from "../../linkerd/identity.ts";
import type { Fault } from "../../policies/fault.ts";
import { readDocument } from "../../policies/source/document.ts";
import type { Schema } from "../../policies/source/schema.ts";
import { schemaFaults } from "../../policies/source/validate.ts";
import PUBLISHED from "./config.schema.json" with { type: "json" };
import type { Config, IssuerConfig, MeshConfig } from "./config.ts";
import { readText } from "./files/read-file.ts";
import { readRevoked } from "./files/revoked.ts";
import { type Environment, type Substituted, substitute } from "./files/substitute.ts";
import { withPresets } from "./presets/apply-presets.ts";
import { type Setting, settingsOf } from "./presets/settings.ts";
import { type Reading, Section } from "./section.ts";
import { readAgents } from "./sections/agents.ts";
import { readAssertion } from "./sections/assertion.ts";
import { readAudit } from "./sections/audit.ts";
import { readDpop } from "./sections/dpop.ts";
import { checkCertificates, readHaproxy } from "./sections/haproxy.ts";
import { type IssuerReaders, readIssuers } from "./sections/issuers.ts";
import { readListen } from "./sections/listen.ts";
import { checkMeshClients } from "./sections/mesh-clients.ts";
import { readSessions } from "./sections/sessions.ts";
import { readTraces } from "./sections/traces.ts";

/** Where the configuration is looked for when nobody names it, in this order. */
export const CONFIG_PLACES: readonly string[] = ["countersign.yaml", "/etc/countersign/countersign.yaml"];
const CONFIG_VARIABLE = "COUNTERSIGN_CONFIG";

const LARGEST = 1 << 20;
const MOST_WORKERS = 64;
/** RFC 1035, section 2.3.4, as a text. */
const LONGEST_IDENTITY = 253;

/** A configuration, or all that is wrong with it; and every file that was read for it, to be watched. */
export type LoadedConfig = { readonly files: readonly string[] } & (
  | {
      readonly config: Config;
      /** SHA-256 of the file as it is written, in hexadecimal: secrets that it refers to are not in it. */
      readonly digest: string;
      readonly warnings: readonly Fault[];
    }
  | { readonly faults: readonly Fault[] }
);

/** The configuration file to use: what `--config` names, else the environment, else the first of CONFIG_PLACES there is. */
export function configFile(named: string | undefined, environment: Environment): string | { readonly fault: string } {
  const file = named || environment[CONFIG_VARIABLE] || CONFIG_PLACES.find((place) => existsSync(place));
  if (file !== undefined) return file;
  const places = CONFIG_PLACES.join(" and ");
  return { fault: `no configuration: --config and ${CONFIG_VARIABLE} name none, and there is no ${places}` };
}

/**
 * Reads and checks a configuration file, and every file it refers to except policies.
 *
 * @param environment what `${env:NAME}` is taken from, and HTTPS_PROXY
 * @param readers of the sections of issuers
 * @param schema of the file; it knows the same types of issuers
 */
export function loadConfig(
  file: string,
  environment: Environment,
  readers: IssuerReaders,
  schema: Schema = PUBLISHED,
): LoadedConfig {
  const path = resolve(file);
  const source = readSource(file, environment);
  if (!("document" in source)) return { files: [path], faults: source };
  const { document, digest, faults, files } = source;
  const reading: Reading = { document, schema, faults: [], warnings: [], files: [path, ...files] };
  const config = readConfig(path, new Section(reading, [], document.value), environment, readers);
  const found = inOrder([faults, schemaFaults(document, schema), ...reading.faults.map((fault) => [fault])]);
  if (found.length > 0) return { files: reading.files, faults: found };
  return { files: reading.files, config, digest, warnings: inOrder([reading.warnings]) };
}

/** The file with what its references stand for and what its presets say; or why there is none. */
function readSource(
  file: string,
  environment: Environment,
): (Substituted & { readonly digest: string }) | readonly Fault[] {
  const path = resolve(file);
  const read = readText(path, LARGEST);
  if ("problem" in read) {
    const right = "a readable configuration file; `countersign init` writes one";
    return [{ file, line: 1, column: 1, found: `it cannot be read: ${read.problem}`, right }];
  }
  const written = readDocument(file, read.text);
  if (!("value" in written)) return written;
  const { document, ...rest } = substitute(written, environment, dirname(path));
  return { document: withPresets(document), digest: hash("sha256", read.text), ...rest };
}

/**
 * What is in force of a sound configuration file, and by what.
 *
 * @param schema of the file
 */
export function readSettings(file: string, environment: Environment, schema: Schema = PUBLISHED): readonly Setting[] {
  const source = readSource(file, environment);
  return "document" in source ? settingsOf(source.document, schema) : [];
}

function readConfig(file: string, root: Section, environment: Environment, readers: IssuerReaders): Config {
  const [cache, limits, log] = [root.section("cache"), root.section("limits"), root.section("log")];
  const workers = readWorkers(root);
  const issuers = readIssuers(root.section("issuers"), environment, readers);
  checkCertificates(root.section("haproxy"), issuers);
  const revoked = readRevoked(root, issuers, readers);
  const listen = readListen(root.section("listen"), workers);
  const mesh = readMesh(root);
  checkMeshClients(root, issuers, { listen, mesh });
  return {
    file,
    listen,
    workers,
    policies: root.texts("policies").map((path) => resolve(dirname(file), path)),
    issuers,
    ...(revoked === undefined ? {} : { revoked }),
    haproxy: {
      ...readHaproxy(
        root.section("haproxy"),
        kindsOf(issuers.flatMap(({ credentials }) => credentials)).flatMap(({ headers }) => headers),
      ),
      agents: readAgents(root.section("haproxy"), root.section("listen"), listen.spop),
    },
    dpop: readDpop(root, workers, issuers),
    mesh,
    assertion: readAssertion(root),
    ...sessionsOf(root, issuers),
    deadline: root.milliseconds("deadline"),
    cache: {
      identities: cache.number("identities"),
      lifetime: cache.milliseconds("lifetime"),
      refusals: cache.number("refusals"),
    },
    limits: {
      token: limits.bytes("token"),
      connections: limits.number("connections"),
      inFlight: limits.number("in_flight"),
      fetches: limits.number("fetches"),
    },
    audit: readAudit(root, file),
    traces: readTraces(root, environment),
    log: {
      level: log.choice<Config["log"]["level"]>("level"),
      decisions: log.choice<Config["log"]["decisions"]>("decisions"),
      destination: log.choice<Config["log"]["destination"]>("destination"),
    },
  };
}

/** Sessions that nobody can begin are a mistake, and two credentials in one cookie would be one. */
function sessionsOf(root: Section, issuers: readonly IssuerConfig[]): Pick<Config, "sessions"> {
  const sessions = readSessions(root.reading);
  if (sessions === undefined) return {};
  const { cookie } = sessions;
  const taken = issuers.flatMap(({ credentials }) => credentials);
  if (!taken.some((kind) => kind.startsWith("session:"))) {
    root.warn(["sessions"], "nobody can log in", "`login` of an issuer of the type `oidc`");
  }
  if (taken.some((kind) => kind.startsWith(`cookie:${cookie}`))) {
    root.fault(["sessions", "cookie"], "a name of its own: the cookie of another credential begins so");
  }
  return { sessions };
}

function readMesh(root: Section): MeshConfig | undefined {
  if (!root.keys().includes("mesh")) return undefined;
  const section = root.section("mesh");
  const mesh = {
    trustDomain: section.text("trust_domain"),
    controlPlane: section.text("control_plane"),
    identity: section.text("identity"),
  };
  const whole = wholeIdentity(mesh.identity, mesh);
  if (whole.length > LONGEST_IDENTITY) {
    const right = `at most ${LONGEST_IDENTITY}, with control plane and trust domain: Linkerd ignores a longer one`;
    section.fault(["identity"], right, `an identity whose whole name has ${whole.length} characters`);
  }
  return mesh;
}

function readWorkers(root: Section): number {
  return root.text("workers") === "auto" ? Math.min(availableParallelism(), MOST_WORKERS) : root.number("workers");
}

/** Faults of a place that an earlier group has one of follow from that one. */
function inOrder(groups: readonly (readonly Fault[])[]): readonly Fault[] {
  const kept: Fault[] = [];
  for (const group of groups) {
    const places = new Set(kept.map(placeOf));
    kept.push(...group.filter((fault) => !places.has(placeOf(fault))));
  }
  const files = [...new Set(kept.map(({ file }) => file))];
  return kept.sort((a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line || a.column - b.column);
}

function placeOf({ file, line, column }: Fault): string {
  return `${file}:${line}:${column}`;
}
