import cluster, { type Worker as ClusterWorker } from "node:cluster";
import { execArgv } from "node:process";
import type { Due } from "../../identity/issuer/world.ts";
import type { Asked, Order, Reply, Unasked } from "./messages.ts";
import { WholeLines } from "./whole-lines.ts";

/** Orders that it has not answered; past them it is only told what it has to do, and no longer asked how it is. */
const MOST_WAITING = 64;
const QUESTIONS: readonly Order["kind"][] = ["report", "heads", "tap"];

/** What becomes of what a worker writes to its log. */
export interface Relay {
  /** Takes whole lines. */
  lines(lines: Buffer): void;
  /** Told of a line that was too long. */
  lost(): void;
}

/**
 * One worker process, seen from the primary: the same command line again, which survives bundling. What it writes to
 * standard output comes through a pipe of its own and is passed on by whole lines: several processes that write to one
 * pipe can tear each other's lines apart, once it is full.
 */
export class Child {
  /** How it ended, such as `code 70` or `signal SIGKILL`; settles once its last lines were read. */
  readonly ended: Promise<string>;
  readonly #worker: ClusterWorker;
  readonly #waiting = new Map<number, PromiseWithResolvers<Reply>>();
  #asked = 0;
  #over = false;
  #reason: string | undefined;

  /** @param due told of sessions that are due */
  constructor(relay: Relay, due: (due: Due) => void) {
    cluster.setupPrimary({
      serialization: "advanced",
      stdio: ["ignore", "pipe", "inherit", "ipc"],
      execArgv: [...execArgv, "--disable-sigusr1"],
    });
    this.#worker = cluster.fork();
    const { process } = this.#worker;
    // A message that cannot be sent any more: `ended` tells.
    this.#worker.on("error", () => {});
    this.#worker.on("message", (said: Reply | Unasked) => ("due" in said ? due(said.due) : this.#replied(said)));
    const lines = new WholeLines(
      (whole) => relay.lines(whole),
      () => relay.lost(),
    );
    process.stdout?.on("data", (chunk: Buffer) => lines.push(chunk));
    this.ended = new Promise((resolve) => {
      const over = (end: string) => {
        this.#over = true;
        for (const { reject } of this.#waiting.values()) reject(new Error(`the worker ended by ${end}`));
        this.#waiting.clear();
        resolve(end);
      };
      process.once("close", (code: number | null, signal: string | null) => {
        over(this.#reason ?? (signal === null ? `code ${code}` : `signal ${signal}`));
      });
      // Where the machine has no room for a process, there is none that could close.
      process.once("error", (error) => process.pid === undefined && over(error.message));
    });
  }

  get over(): boolean {
    return this.#over;
  }

  get pid(): number | undefined {
    return this.#worker.process.pid;
  }

  /** @throws {Error} with the worker's own words where it could not, or when it ends first */
  async ask(order: Order): Promise<Reply> {
    if (this.#over) throw new Error("the worker has ended");
    if (this.#waiting.size >= MOST_WAITING && QUESTIONS.includes(order.kind))
      throw new Error("the worker answers nothing");
    const id = this.#asked++;
    const waiting = Promise.withResolvers<Reply>();
    this.#waiting.set(id, waiting);
    this.#worker.process.send({ id, order } satisfies Asked, () => {});
    const reply = await waiting.promise;
    if (reply.fault !== undefined) throw new Error(reply.fault);
    return reply;
  }

  /** Ends it at once. @param reason told as its end, where the signal would say nothing */
  kill(reason?: string): void {
    this.#reason ??= reason;
    this.#worker.process.kill("SIGKILL");
  }

  #replied(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    waiting?.resolve(reply);
  }
}
