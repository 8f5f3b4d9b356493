import cluster, { type Worker as ClusterWorker } from "node:cluster";
import { execArgv } from "node:process";
import type { Due } from "../../identity/issuer/world.ts";
import type { Asked, Order, Reply, Unasked } from "./messages.ts";

/** A line feed. */
const END = 10;

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
  #rest: Buffer = Buffer.alloc(0);

  /** @param lines takes whole lines of its log @param due told of sessions that are due */
  constructor(lines: (lines: Buffer) => void, due: (due: Due) => void) {
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
    process.stdout?.on("data", (chunk: Buffer) => this.#read(chunk, lines));
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

  #read(chunk: Buffer, lines: (lines: Buffer) => void): void {
    const end = chunk.lastIndexOf(END) + 1;
    if (end > 0) lines(Buffer.concat([this.#rest, chunk.subarray(0, end)]));
    const rest = chunk.subarray(end);
    this.#rest = end > 0 ? rest : Buffer.concat([this.#rest, rest]);
  }
}
