import { Worker } from "node:worker_threads";
import type { Address } from "../net/address.ts";
import { workerScript } from "../threads/worker-script.ts";
import type { Begin, Page, PageName, Rendered, Told } from "./admin-messages.ts";
import { type AdminState, readiness, statusReport } from "./status.ts";

const THREAD = workerScript("admin/admin-worker");
/** Milliseconds for a whole connection. */
const CONNECTION_LIMIT = 5_000;
/** Milliseconds until a thread that has ended is started again. */
const PAUSE = 1_000;
/** MiB. All that the thread makes is short-lived and small. */
const MEMORY = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 };
/** Prometheus' text format. */
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Where the pages come from. */
export interface Sources {
  state(): AdminState | Promise<AdminState>;
  /** Prometheus' text format. */
  metrics(): Promise<string>;
}

/**
 * The admin listener: /live, /ready, /metrics and /status over plain HTTP. It changes nothing and knows no secrets.
 *
 * Connections and HTTP are a thread's, behind whatever answers HAProxy: who floods it, sends halves of requests or reads
 * slowly, keeps no verdict waiting. What is left for this thread is a page now and then (shared-page.ts).
 */
export class AdminListener {
  readonly #sources: Sources;
  readonly #failed: (error: unknown) => void;
  readonly #script: URL;
  readonly #limit: number;
  #worker: Worker | undefined;
  #port: number | undefined;
  #closed = false;

  /**
   * @param failed told of an error while answering, which is a bug
   * @param limit milliseconds for a whole connection
   * @param script what the thread runs
   */
  constructor(sources: Sources, failed: (error: unknown) => void, limit = CONNECTION_LIMIT, script = THREAD) {
    this.#sources = sources;
    this.#failed = failed;
    this.#limit = limit;
    this.#script = script;
  }

  /**
   * Listens, where there is an address.
   *
   * @throws Error that names the address and what to do, when it cannot be bound
   */
  async listen(address: Address | undefined): Promise<void> {
    if (address !== undefined) await this.#begin(address);
  }

  #begin(address: Address): Promise<void> {
    const worker = new Worker(this.#script, {
      workerData: { address, limit: this.#limit } satisfies Begin,
      resourceLimits: MEMORY,
    });
    this.#worker = worker;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    worker.on("message", (told: Told) => {
      if (told.kind === "asked") void this.#render(worker, told.name);
      else if (told.kind === "failed") {
        reject(new Error(told.message));
        void worker.terminate();
      } else {
        this.#port = told.port;
        worker.once("exit", () => this.#restart(address));
        resolve();
      }
    });
    worker.on("error", (error) => {
      this.#failed(error);
      reject(error);
    });
    worker.once("exit", () => reject(new Error("the admin listener's thread has ended")));
    return promise;
  }

  /** The port that was bound, where it was a TCP address. */
  get port(): number | undefined {
    return this.#port;
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker?.terminate();
  }

  #restart(address: Address): void {
    if (this.#closed) return;
    setTimeout(() => {
      if (this.#closed) return;
      this.#begin(address).catch((error: unknown) => {
        this.#failed(error);
        this.#restart(address);
      });
    }, PAUSE).unref();
  }

  async #render(worker: Worker, name: PageName): Promise<void> {
    const page = await this.#page(name).catch((error: unknown): Page => {
      this.#failed(error);
      return { status: 500, type: "text/plain; charset=utf-8", body: "internal error\n" };
    });
    worker.postMessage({ name, page } satisfies Rendered);
  }

  async #page(name: PageName): Promise<Page> {
    switch (name) {
      case "live":
        return json(200, { live: true });
      case "ready": {
        const body = readiness(await this.#sources.state());
        return json(body.ready ? 200 : 503, body);
      }
      case "status":
        return json(200, statusReport(await this.#sources.state()));
      case "metrics":
        return { status: 200, type: METRICS_TYPE, body: await this.#sources.metrics() };
    }
  }
}

function json(status: number, value: unknown): Page {
  return { status, type: "application/json; charset=utf-8", body: `${JSON.stringify(value, undefined, 2)}\n` };
}
