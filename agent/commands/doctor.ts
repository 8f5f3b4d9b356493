import { existsSync } from "node:fs";
import { join } from "node:path";
import { text as readAll } from "node:stream/consumers";
import { readExport } from "../../linkerd/export.ts";
import { type Examination, examine } from "../doctor/doctor.ts";
import { samplesOf } from "../doctor/exposition.ts";
import { ask, readCertificates, readWhole, statusOf, UnreadableError } from "../doctor/gather.ts";
import type { Sources } from "../doctor/sources.ts";
import type { Loaded } from "../loading/load.ts";
import { EXIT } from "../processes/exit.ts";
import {
  CONFIG_OPTION,
  type Command,
  CommandError,
  type Context,
  JSON_OPTION,
  jsonText,
  loadOrFail,
  type Options,
  textOption,
} from "./command.ts";
import { haproxyFiles } from "./generate/generate.ts";
import { renderInputOf } from "./generate/render-input.ts";

export const DOCTOR: Command = {
  usage:
    "doctor [--haproxy DIR] [--certificate FILE]... [--agent URL] [--issuers] [--anchors FILE] [--mesh-issuer FILE] [--proxy URL] [--export FILE|-] [--config FILE] [--json]",
  summary: "look at what runs: HAProxy's files and certificates, agent, clocks, mesh",
  help: `
It looks at what is given, files or endpoints, and says what it could not look at. Each finding has what it causes and
what to do. It changes nothing. Exit code 1 where there is a finding.
`,
  example: `countersign doctor --haproxy /etc/haproxy --certificate /etc/haproxy/certs/site.pem --agent http://127.0.0.1:9901
kubectl get -A -o yaml pods,deployments,services | countersign doctor --export - --proxy http://127.0.0.1:4191`,
  options: {
    haproxy: { type: "string", value: "DIR", help: "the directory with the generated haproxy.cfg or countersign.cfg" },
    certificate: {
      type: "string",
      value: "FILE",
      multiple: true,
      help: "a PEM file that HAProxy shows to clients; several times",
    },
    agent: { type: "string", value: "URL", help: "the agent's admin listener, http://127.0.0.1:9901" },
    issuers: { type: "boolean", help: "ask the issuers for their time" },
    anchors: { type: "string", value: "FILE", help: "the mesh's trust anchors, ca-bundle.crt" },
    "mesh-issuer": { type: "string", value: "FILE", help: "the mesh's issuer, crt.pem; no key is needed" },
    proxy: {
      type: "string",
      value: "URL",
      help: "the admin port of the Linkerd proxy beside HAProxy, http://127.0.0.1:4191",
    },
    export: {
      type: "string",
      value: "FILE",
      help: "a cluster's export, `kubectl get … -o yaml`; - is the standard input",
    },
    ...CONFIG_OPTION,
    ...JSON_OPTION,
  },
  positionals: [0, 0],
  run: doctor,
};

async function doctor(_: readonly string[], options: Options, context: Context): Promise<number> {
  const loaded = await loadOrFail(options, context);
  const unreadable: string[] = [];
  const sources = await gather(loaded, options, context, unreadable);
  const examination = examine(sources, new Set(Object.keys(options)));
  const unseen = [...unreadable, ...examination.unseen];
  if (options.json === true) context.out(jsonText({ findings: examination.findings, unseen }));
  else context.out(told(examination.findings, unseen));
  return examination.findings.length === 0 && unreadable.length === 0 ? EXIT.fine : EXIT.bad;
}

function told(findings: Examination["findings"], unseen: readonly string[]): string {
  const lines = findings.map(
    ({ subject, at, found, causes, remedy }) =>
      `${subject}: ${at}: ${found}\n    causes: ${causes}\n    do:     ${remedy}\n`,
  );
  const verdict = findings.length === 0 ? "nothing found in what was looked at\n" : `${findings.length} found\n`;
  return `${lines.join("")}${unseen.map((what) => `not looked at: ${what}\n`).join("")}${verdict}`;
}

async function gather(loaded: Loaded, options: Options, context: Context, unreadable: string[]): Promise<Sources> {
  const { config, policies } = loaded;
  /** What cannot be had is told, and the rest looked at all the same. */
  const tried = async <Value>(make: () => Value | Promise<Value>): Promise<Value | undefined> => {
    try {
      return await make();
    } catch (error) {
      if (!(error instanceof UnreadableError)) throw error;
      unreadable.push(error.message);
      return undefined;
    }
  };
  const given = <Value>(name: string, make: (value: string) => Value | Promise<Value>) => {
    const value = textOption(options, name);
    return value === undefined ? undefined : tried(() => make(value));
  };
  const certificates = [options.certificate ?? []].flat().map(String);
  const read = await Promise.all(certificates.map((file) => tried(() => readCertificates(file))));
  const urls = options.issuers === true ? config.issuers.filter(({ issuer }) => /^https?:/.test(issuer)) : undefined;
  const asked =
    urls &&
    (await Promise.all(
      urls.map(({ issuer }) =>
        tried(() => ask(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`, context.clock)),
      ),
    ));
  return {
    config,
    services: policies.services,
    revision: policies.revision,
    now: context.clock(),
    certificates: certificates.length === 0 ? undefined : read.filter((file) => file !== undefined),
    anchors: await given("anchors", readCertificates),
    meshIssuer: await given("mesh-issuer", readCertificates),
    agent: await given("agent", async (url) => statusOf(await ask(`${url.replace(/\/$/, "")}/status`, context.clock))),
    proxy: await given("proxy", async (url) => {
      const page = await ask(`${url.replace(/\/$/, "")}/metrics`, context.clock);
      return { ...page, content: samplesOf(page.content) };
    }),
    issuers: asked?.filter((endpoint) => endpoint !== undefined),
    exported: await given("export", async (file) => exportOf(file)),
    haproxy: await given("haproxy", (directory) => haproxyOf(directory, loaded)),
  };
}

async function exportOf(file: string): Promise<Sources["exported"]> {
  const text = file === "-" ? await readAll(process.stdin) : readWhole(file);
  try {
    return readExport(text);
  } catch (error) {
    throw new UnreadableError(
      `${file} is no export of a cluster: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** A directory with a fragment is held to the fragment, any other to the whole files. */
function haproxyOf(directory: string, { config, policies }: Loaded): Sources["haproxy"] {
  const [main, fragment] = ["haproxy.cfg", "countersign.cfg"].map((name) => existsSync(join(directory, name)));
  if (!main && !fragment) throw new UnreadableError(`${directory} is no directory with haproxy.cfg or countersign.cfg`);
  try {
    const files = haproxyFiles(renderInputOf(config, policies), fragment ? directory : undefined);
    return Object.entries(files).map(([name, right]) => {
      const file = join(directory, name);
      return { file, is: existsSync(file) ? readWhole(file) : undefined, right };
    });
  } catch (error) {
    if (error instanceof CommandError) throw new UnreadableError(error.message);
    throw error;
  }
}
