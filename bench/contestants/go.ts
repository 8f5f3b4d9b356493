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
export const FORMS = { constant: "constant answer", verify: "golang-jwt each time", cache: "golang-jwt, LRU cache" };
export type Form = keyof typeof FORMS;

const run = promisify(execFile);
let building: Promise<string> | undefined;

/** An agent on github.com/negasus/haproxy-spoe-go. */
export function spoeGo(form: Form): Contestant {
  const name = `haproxy-spoe-go, ${FORMS[form]}`;
  return stranger(name, async ({ processes, cores, issuer, ...stage }, socket) => {
    building ??= build("spoe-agent");
    const program = await building;
    const folder = folderOf({ processes, cores, issuer, ...stage }, name);
    for (const algorithm of ALGORITHMS) writeFileSync(join(folder, `${algorithm}.pem`), issuer.publicKey(algorithm));
    const args = ["-socket", socket, "-form", form, "-keys", folder, "-issuer", issuer.url, "-audience", AUDIENCE];
    return processes.start(program, args, { env: { ...process.env, GOMAXPROCS: String(cores) } });
  });
}

/** @throws Missing where there is no Go, or its module proxy does not have the modules */
async function build(name: string): Promise<string> {
  const program = join(BUILT, name);
  try {
    await run("go", ["build", "-o", program, `./${name}`], { cwd: SOURCE });
    return program;
  } catch (error) {
    throw new Missing(`go build: ${firstLineOf(error)}`);
  }
}

function firstLineOf(error: unknown): string {
  if (error instanceof Error && "stderr" in error && error.stderr) return String(error.stderr).split("\n")[0] ?? "";
  return error instanceof Error ? error.message : String(error);
}
