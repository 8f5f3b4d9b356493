import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { isAbsolute, join, relative, resolve } from "node:path";
import { stringify } from "yaml";
import type { Fault } from "../../policies/fault.ts";
import { parseHostPattern } from "../../policies/routing/hosts.ts";
import type { Config } from "../config/config.ts";
import { readText } from "../config/files/read-file.ts";
import { PRESETS } from "../config/presets/presets.ts";
import { send } from "../http/fetch.ts";
import { createIdentity } from "../identity/identity.ts";
import { UNHEARD } from "../identity/issuer/events.ts";
import { type Loaded, load } from "../loading/load.ts";
import { EXIT } from "../processes/exit.ts";
import {
  type Command,
  CommandError,
  type Context,
  type Options,
  requiredOption,
  textOption,
  UsageError,
} from "./command.ts";
import { haproxyFiles } from "./generate/generate.ts";
import { renderInputOf } from "./generate/render-input.ts";
import { writeAll } from "./generate/write-all.ts";

const CONFIG = "countersign.yaml";

export const INIT: Command = {
  usage:
    "init [--preset NAME] --issuer URL --audience A --host H --backend ADDRESS [--socket PATH] [--fragment] [--output DIR]",
  summary: "write a first configuration, a policy and HAProxy's files",
  help: `
The issuer is asked for its keys, so that a mistyped URL is found now. With --preset its tokens are those of a provider
that is known. The policy lets everyone with a token of the issuer pass:
it is a beginning. No file that is there is overwritten.
`,
  example: `countersign init --issuer https://example.okta.com/oauth2/default --audience api://orders \\
    --host orders.example.com --backend 10.0.0.7:8080`,
  options: {
    preset: { type: "string", value: "NAME", help: `the provider: ${Object.keys(PRESETS).join(", ")}` },
    issuer: { type: "string", value: "URL", help: "the OpenID provider, as its tokens' iss has it" },
    keys: {
      type: "string",
      value: "WHERE",
      help: "an address or a file with its keys, where the issuer does not say it",
    },
    audience: { type: "string", value: "A", help: "the aud that tokens for this service have" },
    host: { type: "string", value: "H", help: "the host name that clients use" },
    backend: {
      type: "string",
      value: "ADDRESS",
      help: "the service, HOST:PORT; with --fragment, or a backend of your haproxy.cfg",
    },
    bind: { type: "string", value: "ADDRESS", help: "where HAProxy listens; default: *:8080" },
    socket: { type: "string", value: "PATH", help: "where HAProxy asks: a unix socket instead of 127.0.0.1:9000" },
    chroot: { type: "string", value: "DIR", help: "HAProxy's chroot, where it has one: the socket must be below it" },
    group: { type: "string", value: "NAME", help: "HAProxy's group, which the socket is given to" },
    fragment: { type: "boolean", help: "countersign.cfg for your own haproxy.cfg, instead of a whole one" },
    output: { type: "string", value: "DIR", help: "where to write; default: the current directory" },
  },
  positionals: [0, 0],
  run: init,
};

/** What the command line says, checked. */
interface Answers {
  readonly preset: string | undefined;
  /** Undefined where the preset has it. */
  readonly issuer: string | undefined;
  /** An address, or the whole path of a file. */
  readonly keys: string | undefined;
  readonly audience: string;
  readonly host: string;
  /** Name of the service, and of its backend where that is an address. */
  readonly service: string;
  readonly backend: string;
  /** HOST:PORT; undefined for a backend of the reader's own haproxy.cfg. */
  readonly server: string | undefined;
  readonly bind: string;
  /** What `listen.spop` has, as YAML. */
  readonly listener: string;
}

async function init(_positionals: readonly string[], options: Options, context: Context): Promise<number> {
  const fragment = options.fragment === true;
  const directory = textOption(options, "output") ?? ".";
  const answers = answersOf(options, fragment);
  const own = { [CONFIG]: configuration(answers), [`policies/${answers.service}.yaml`]: policy(answers) };
  const { config, policies } = await tried(own, context);
  await lookUp(config, context);
  const files = { ...own, ...haproxyFiles(renderInputOf(config, policies), fragment ? directory : undefined) };
  const texts = Object.fromEntries(Object.entries(files).map(([name, text]) => [join(directory, name), text]));
  const there = Object.keys(texts).find((path) => existsSync(path));
  if (there !== undefined)
    throw new CommandError(`${there} is there already: it is left as it is, and nothing is written`, EXIT.cannotCreate);
  writeAll(texts);
  context.out(nextSteps(Object.keys(texts), join(directory, CONFIG), directory, fragment));
  return EXIT.fine;
}

/** Whose value stands on a line of what is written that begins with this key. */
const OPTION_OF: Readonly<Record<string, string>> = {
  spop: "socket",
  preset: "preset",
  issuer: "issuer",
  audiences: "audience",
  keys: "keys",
  bind: "bind",
  backends: "backend",
  hosts: "host",
  backend: "backend",
};

/** What the files come to, before any is written where it belongs. @throws UsageError or CommandError with what is wrong with them */
async function tried(files: Readonly<Record<string, string>>, context: Context): Promise<Loaded> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-init-"));
  try {
    writeAll(Object.fromEntries(Object.entries(files).map(([name, text]) => [join(folder, name), text])));
    const outcome = await load(join(folder, CONFIG), context);
    if (outcome.loaded !== undefined) return outcome.loaded;
    throw mistaken(
      outcome.faults.map((fault) => ({ ...fault, file: relative(folder, fault.file) })),
      files,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Faults of files that nobody has written, by the options that are to be mended; some are of the environment. */
function mistaken(faults: readonly Fault[], files: Readonly<Record<string, string>>): Error {
  const told = faults.map(({ file, line, found, right }) => {
    const key = /^ *(\w+):/.exec(files[file]?.split("\n")[line - 1] ?? "")?.[1] ?? "";
    return { option: OPTION_OF[key], text: `${found}; ${right}` };
  });
  const text = told.map(({ option, text: what }) => (option === undefined ? what : `--${option}: ${what}`)).join("\n");
  return told.every(({ option }) => option !== undefined)
    ? new UsageError(text)
    : new CommandError(text, EXIT.configuration);
}

function answersOf(options: Options, fragment: boolean): Answers {
  const [audience, host, backend] = ["audience", "host", "backend"].map((name) => requiredOption(options, name)) as [
    string,
    string,
    string,
  ];
  const parsed = parseHostPattern(host);
  if (!("host" in parsed)) throw new UsageError(`--host: ${parsed.found}; ${parsed.right}`);
  const server = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}$/.test(backend) ? backend : undefined;
  if (server === undefined && !(fragment && /^[A-Za-z0-9_.-]{1,64}$/.test(backend))) {
    throw new UsageError(
      `--backend: ${JSON.stringify(backend)} is not HOST:PORT${fragment ? ", nor the name of a backend" : ""}`,
    );
  }
  const service = parsed.host.replace(/^\*\./, "").replace(/[^a-z0-9-].*$/, "") || "service";
  return {
    ...whoOf(options),
    audience,
    host: parsed.host,
    service,
    backend: server === undefined ? backend : service,
    server,
    bind: textOption(options, "bind") ?? "*:8080",
    listener: listenerOf(textOption(options, "socket"), textOption(options, "chroot"), textOption(options, "group")),
  };
}

/** Whose tokens they are. */
function whoOf(options: Options): Pick<Answers, "preset" | "issuer" | "keys"> {
  const [preset, where] = [textOption(options, "preset"), textOption(options, "keys")];
  const known = preset !== undefined && Object.hasOwn(PRESETS, preset) ? PRESETS[preset] : undefined;
  if (preset !== undefined && known === undefined) {
    throw new UsageError(`--preset: no preset ${preset}; there is ${Object.keys(PRESETS).join(", ")}`);
  }
  const issuer = known?.values.issuer === undefined ? requiredOption(options, "issuer") : textOption(options, "issuer");
  return { preset, issuer, keys: where === undefined || /^https?:/.test(where) ? where : keyFile(where) };
}

/** Most bytes of a file with keys: as many as the configuration takes. */
const LARGEST = 1 << 20;

/** The whole path of a file with keys. @throws CommandError where it cannot be read */
function keyFile(path: string): string {
  const read = readText(path, LARGEST);
  if ("problem" in read) throw new CommandError(`--keys: ${path} cannot be read: ${read.problem}`, EXIT.noInput);
  return resolve(path);
}

function listenerOf(socket: string | undefined, chroot: string | undefined, group: string | undefined): string {
  if (socket === undefined) {
    if (chroot === undefined && group === undefined) return "127.0.0.1:9000";
    throw new UsageError("--chroot and --group go with --socket: a port needs neither");
  }
  if (!isAbsolute(socket)) throw new UsageError(`--socket: ${quoted(socket)} is not an absolute path`);
  const seen = chroot === undefined ? undefined : relative(chroot, socket);
  if (seen !== undefined && (seen === "" || seen.startsWith(".."))) {
    throw new UsageError(`--socket: ${socket} is not below ${chroot}, so HAProxy could not see it`);
  }
  const keys = [
    `address: ${quoted(`unix:${socket}`)}`,
    ...(seen === undefined ? [] : [`haproxy: ${quoted(`unix@/${seen}`)}`]),
    ...(group === undefined ? [] : [`group: ${quoted(group)}`]),
  ];
  return `{ ${keys.join(", ")} }`;
}

/** Asks the issuer for its keys. @throws CommandError that says why they cannot be had */
async function lookUp({ issuers, cache, limits }: Config, { clock }: Context): Promise<void> {
  const identity = createIdentity(issuers, { cache, limits, send, clock, events: UNHEARD });
  try {
    await identity.ready();
    const [error] = identity.status().flatMap((status) => status.error ?? []);
    if (error === undefined) return;
    throw new CommandError(
      `the issuer cannot be looked up: ${error}\nIs --issuer just what its tokens have as iss?`,
      EXIT.configuration,
    );
  } finally {
    identity.close();
  }
}

const quoted = (text: string) => JSON.stringify(text);

/** A name as a key of YAML, which would read `404` as a number and `true` as more than a text. */
const key = (name: string) => stringify(name).trimEnd();

function configuration(answers: Answers): string {
  const { service, backend, server, bind, listener } = answers;
  const backends = server === undefined ? `${quoted(backend)}: external` : `${key(service)}: [${quoted(server)}]`;
  return `# Countersign's configuration; docs/configuration.md has every key.
listen:
  ${`spop: [${listener}] `.padEnd(38)}# where HAProxy asks
  admin: 127.0.0.1:9901                 # /live /ready /status /metrics
policies: ./policies
issuers:
${section(answers)}haproxy:
  version: "2.6"                        # the oldest that has to read the generated files
  bind: [${quoted(bind)}]
  scheme: http                          # as clients see it: https once \`bind\` has a certificate
  backends: { ${backends} }
`;
}

function section({ preset, issuer, keys, audience }: Answers): string {
  const lines = [
    preset === undefined ? "type: oidc" : `preset: ${preset.padEnd(25)} # \`countersign explain\` shows what it says`,
    ...(issuer === undefined ? [] : [`issuer: ${quoted(issuer)}`]),
    `audiences: [${quoted(audience)}]`,
    ...(keys === undefined ? [] : [`keys: { ${isAbsolute(keys) ? "file" : "url"}: ${quoted(keys)} }`]),
  ];
  return `  ${preset ?? "idp"}:\n${lines.map((line) => `    ${line}\n`).join("")}`;
}

function policy({ host, service, backend }: Answers): string {
  return `# Who may do what; docs/policies.md has every key.
services:
  ${key(service)}:
    hosts: [${quoted(host)}]
    backend: ${quoted(backend)}
    headers: { x-auth-subject: principal.subject }
    routes:
      - name: everything
        match: ["* /{path...}"]
        allow: [authenticated]          # any token of the issuer; name roles instead
`;
}

function nextSteps(files: readonly string[], config: string, directory: string, fragment: boolean): string {
  const main = join(directory, "haproxy.cfg");
  const haproxy = fragment
    ? `haproxy -f /etc/haproxy/haproxy.cfg -f ${join(directory, "countersign.cfg")}`
    : `haproxy -f ${main}`;
  return `${files.map((file) => `written: ${file}\n`).join("")}
Next:
  countersign check --config ${config}
  ${haproxy} -c
  countersign serve --config ${config}
  ${haproxy}
`;
}
