import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { REPOSITORY } from "./places.ts";

/** Where the parts write their logs, relative to the repository. */
export const LOGS = ".cache/demo";
/** Milliseconds from the request to end until a part is made to. */
const PATIENCE = 5000;

/** A program that the demo runs. */
export interface Part {
  readonly name: string;
  /** Its log, relative to the repository. */
  readonly log: string;
  /** Rejects with a PartEnded once it ends without having been told to. */
  readonly failure: Promise<never>;
  stop(): Promise<void>;
}

/** A part that ended by itself, with the end of its log. */
export class PartEnded extends Error {
  override readonly name = "PartEnded";

  constructor(part: string, how: string, log: string) {
    super(`${part} ended (${how}). The end of ${log}:\n${tail(log)}`);
  }
}

/**
 * Starts a program in the repository. It gets a process group of its own: Ctrl-C reaches the demo alone, which then
 * ends its parts in order.
 */
export function startPart(name: string, command: string, args: readonly string[]): Part {
  mkdirSync(resolve(REPOSITORY, LOGS), { recursive: true });
  const log = `${LOGS}/${name}.log`;
  const output = openSync(resolve(REPOSITORY, log), "w");
  const child = spawn(command, args, { cwd: REPOSITORY, detached: true, stdio: ["ignore", output, output] });
  closeSync(output);
  // However this process ends, its parts must not stay.
  const leave = () => child.kill();
  process.once("exit", leave);
  let stopping = false;
  const ended = new Promise<string>((done) => {
    child.once("error", (error) => done(error.message));
    child.once("exit", (code, signal) => done(signal ?? `exit code ${code}`));
  }).finally(() => process.off("exit", leave));
  const failure = ended.then((how) =>
    stopping ? new Promise<never>(() => {}) : Promise.reject(new PartEnded(name, how, log)),
  );
  failure.catch(() => {});
  return {
    name,
    log,
    failure,
    async stop() {
      stopping = true;
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** The last lines of a log. */
export function tail(log: string, lines = 15): string {
  return readFileSync(resolve(REPOSITORY, log), "utf8").trimEnd().split("\n").slice(-lines).join("\n");
}
