import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { ALGORITHMS, AUDIENCE } from "../issuer.ts";
import { type Contestant, folderOf, Missing } from "../stage.ts";
import { stranger } from "./strangers.ts";

const SOURCE = resolve(import.meta.dirname, "../go");
const BUILT = resolve(import.meta.dirname, "../../.cache/bench");

/** How a Go agent comes to its answer. */
const FORMS = { constant: "constant answer", verify: "golang-jwt each time", cache: "golang-jwt, LRU cache" };
type Form = keyof typeof FORMS;

const run = promisify(execFile);
const programs = new Map<string, Promise<string>>();

/** An agent on github.com/negasus/haproxy-spoe-go. */
export function spoeGo(form: Form): Contestant {
  return agentOf("haproxy-spoe-go", "spoe-agent", form);
}

/** An agent on github.com/dropmorepackets/haproxy-go. */
export function haproxyGo(form: Form): Contestant {
  return agentOf("haproxy-go", "spop-agent", form);
}

function agentOf(library: string, folder: string, form: Form): Contestant {
  const name = `${library}, ${FORMS[form]}`;
  return stranger(name, async (stage, socket) => {
    const { processes, cores, issuer } = stage;
    const program = await built(folder);
    const keys = folderOf(stage, name);
    for (const algorithm of ALGORITHMS) writeFileSync(join(keys, `${algorithm}.pem`), issuer.publicKey(algorithm));
    const args = ["-socket", socket, "-form", form, "-keys", keys, "-issuer", issuer.url, "-audience", AUDIENCE];
    return processes.start(program, args, { env: { ...process.env, GOMAXPROCS: String(cores) } });
  });
}

/** The program of a folder, built once. */
function built(folder: string): Promise<string> {
  const program = programs.get(folder) ?? build(folder);
  programs.set(folder, program);
  return program;
}

/** @throws Missing where there is no Go, or its module proxy does not have the modules */
async function build(name: string): Promise<string> {
  const program = join(BUILT, name);
  try {
    await run("go", ["build", "-o", program, `./${name}`], { cwd: SOURCE });
    return program;
  } catch (error) {
    throw new Missing(`go build: ${complaintOf(error)}`);
  }
}

/** What Go says of the modules that it does get comes before what is wrong. */
function complaintOf(error: unknown): string {
  const lines = error instanceof Error && "stderr" in error ? String(error.stderr).split("\n") : [];
  return lines.find((line) => line !== "" && !line.startsWith("go: downloading")) ?? String(error);
}
