import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { isAbsolute, join, relative } from "node:path";
import { parseHostPattern } from "../../policies/routing/hosts.ts";
import { permitted } from "../http/document.ts";
import { send } from "../http/fetch.ts";
import { FetchError } from "../http/fetch-error.ts";
import { proxyOfEnvironment } from "../http/proxy.ts";
import { discover, discoveryUrl, endpointOf } from "../identity/oidc/discovery.ts";
import { type Loaded, load } from "../loading/load.ts";
import { EXIT } from "../processes/exit.ts";
import {
  type Command,
  CommandError,
  type Context,
  faultsText,
  type Options,
  requiredOption,
  textOption,
  UsageError,
} from "./command.ts";
import { haproxyFiles } from "./generate.ts";
import { renderInputOf } from "./render-input.ts";
import { writeAll } from "./write-all.ts";

const CONFIG = "countersign.yaml";

/** Milliseconds. */
const LOOK_UP_LIMIT = 5_000;

export const INIT: Command = {
  usage: "init --issuer URL --audience A --host H --backend ADDRESS [--socket PATH] [--fragment] [--output DIR]",
  summary: "write a first configuration, a policy and HAProxy's files",
  help: `
The issuer is looked up, so that a mistyped URL is found now. The policy lets everyone with a token of the issuer pass:
it is a beginning. No file that is there is overwritten.
`,
  example: `countersign init --issuer https://example.okta.com/oauth2/default --audience api://orders \\
    --host orders.example.com --backend 10.0.0.7:8080`,
  options: {
    issuer: { type: "string", value: "URL", help: "the OpenID provider, as its tokens' iss has it" },
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
  readonly issuer: string;
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
  await lookUp(answers.issuer, context);
  const own = { [CONFIG]: configuration(answers), [`policies/${answers.service}.yaml`]: policy(answers) };
  const { config, policies } = await tried(own, context);
  const files = { ...own, ...haproxyFiles(renderInputOf(config, policies), fragment ? directory : undefined) };
  const texts = Object.fromEntries(Object.entries(files).map(([name, text]) => [join(directory, name), text]));
  const there = Object.keys(texts).find((path) => existsSync(path));
  if (there !== undefined)
    throw new CommandError(
      `${there} is there already: it is left as it is, and nothing is written`,
      EXIT.configuration,
    );
  writeAll(texts);
  context.out(nextSteps(Object.keys(texts), join(directory, CONFIG), directory, fragment));
  return EXIT.fine;
}

/** What the files come to, before any is written where it belongs. @throws CommandError with what is wrong with them */
async function tried(files: Readonly<Record<string, string>>, context: Context): Promise<Loaded> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-init-"));
  try {
    writeAll(Object.fromEntries(Object.entries(files).map(([name, text]) => [join(folder, name), text])));
    const outcome = await load(join(folder, CONFIG), context);
    if (outcome.loaded !== undefined) return outcome.loaded;
    throw new CommandError(faultsText(outcome.faults).replaceAll(`${folder}/`, ""), EXIT.configuration);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function answersOf(options: Options, fragment: boolean): Answers {
  const [issuer, audience, host, backend] = ["issuer", "audience", "host", "backend"].map((name) =>
    requiredOption(options, name),
  ) as [string, string, string, string];
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
    issuer,
    audience,
    host: parsed.host,
    service,
    backend: server === undefined ? backend : service,
    server,
    bind: textOption(options, "bind") ?? "*:8080",
    listener: listenerOf(textOption(options, "socket"), textOption(options, "chroot"), textOption(options, "group")),
  };
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

/** Asks the issuer for its discovery document. @throws CommandError that says what is wrong with it */
async function lookUp(issuer: string, { environment }: Context): Promise<void> {
  const proxy = proxyOfEnvironment(environment);
  if (proxy !== undefined && "fault" in proxy) throw new CommandError(proxy.fault, EXIT.configuration);
  const url = URL.parse(discoveryUrl(issuer));
  if (url === null || !permitted(url, url)) throw cannotLookUp("it is not an https address");
  const abort = new AbortController();
  const limit = setTimeout(() => abort.abort(), LOOK_UP_LIMIT);
  try {
    const bounds = { signal: abort.signal, ca: undefined, proxy, maxSize: 1 << 20 };
    endpointOf(await discover(send, url, [issuer], bounds), "jwks_uri");
  } catch (error) {
    if (!(error instanceof FetchError)) throw error;
    throw cannotLookUp(error.message);
  } finally {
    clearTimeout(limit);
  }
}

function cannotLookUp(why: string): CommandError {
  const text = `the issuer cannot be looked up: ${why}\nIs --issuer just what its tokens have as iss?`;
  return new CommandError(text, EXIT.configuration);
}

const quoted = (text: string) => JSON.stringify(text);

function configuration({ issuer, audience, service, backend, server, bind, listener }: Answers): string {
  const backends = server === undefined ? `${quoted(backend)}: external` : `${service}: [${quoted(server)}]`;
  return `# Countersign's configuration; docs/configuration.md has every key.
listen:
  ${`spop: [${listener}] `.padEnd(38)}# where HAProxy asks
  admin: 127.0.0.1:9901                 # /live /ready /status /metrics
policies: ./policies
issuers:
  idp:
    type: oidc
    issuer: ${quoted(issuer)}
    audiences: [${quoted(audience)}]
haproxy:
  version: "2.6"                        # the oldest that has to read the generated files
  bind: [${quoted(bind)}]
  scheme: http                          # as clients see it: https once \`bind\` has a certificate
  backends: { ${backends} }
`;
}

function policy({ host, service, backend }: Answers): string {
  return `# Who may do what; docs/policies.md has every key.
services:
  ${service}:
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
