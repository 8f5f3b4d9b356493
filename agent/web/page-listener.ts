import { Worker } from "node:worker_threads";
import type { Due } from "../identity/issuer/world.ts";
import type { Address } from "../net/address.ts";
import type { LoginEvent } from "../telemetry/events.ts";
import { workerScript } from "../threads/worker-script.ts";
import type { LoginSetup } from "./login/logins.ts";
import type { Begin, Page, Rendered, Renewed, Said, Told } from "./messages.ts";

const THREAD = workerScript("web/web-worker");
/** Milliseconds for a whole connection. */
const CONNECTION_LIMIT = 5_000;
/** Bytes. */
const LARGEST_HEAD = 8 << 10;
/** Milliseconds until a thread that has ended is started again. */
const PAUSE = 1_000;
/** MiB. All that the thread makes is short-lived and small. */
const MEMORY = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 };

/**
 * Pages by their paths; each is the same for all who ask. `PATH TYPE` is for those who accept this media type, and has a
 * page of its own at PATH for all others.
 */
export type Pages = Readonly<Record<string, () => Page | Promise<Page>>>;

export interface PageOptions {
  /** Told of an error while answering, which is a bug. */
  readonly failed: (error: unknown) => void;
  /** Told of logins. */
  readonly told?: (event: LoginEvent) => void;
  /** Milliseconds for a whole connection. */
  readonly limit?: number;
  /** Bytes of a request's head at most. */
  readonly largestHead?: number;
  /** What the thread runs. */
  readonly script?: URL;
  /** Default: none. */
  readonly own?: OwnPages;
}

/** Pages that are each asker's own, by what stands behind their `?`. They are only for askers on this machine. */
export type OwnPages = Readonly<Record<string, (query: string) => Page | Promise<Page>>>;

/**
 * A few pages over plain HTTP, for GET and HEAD.
 *
 * Connections and HTTP are a thread's, behind whatever answers HAProxy: who floods it, sends halves of requests or reads
 * slowly, keeps no verdict waiting. What is left for this thread is a page now and then (shared-page.ts).
 */
export class PageListener {
  readonly #pages: Pages;
  readonly #failed: (error: unknown) => void;
  readonly #script: URL;
  readonly #limit: number;
  readonly #largestHead: number;
  readonly #told: (event: LoginEvent) => void;
  #login: LoginSetup | undefined;
  readonly #own: OwnPages;
  #worker: Worker | undefined;
  #port: number | undefined;
  #closed = false;

  constructor(pages: Pages, options: PageOptions) {
    const { failed, told = () => {}, limit = CONNECTION_LIMIT, script = THREAD, own = {} } = options;
    this.#largestHead = options.largestHead ?? LARGEST_HEAD;
    this.#pages = pages;
    this.#own = own;
    this.#failed = failed;
    this.#told = told;
    this.#limit = limit;
    this.#script = script;
  }

  /**
   * Listens, where there is an address.
   *
   * @param login what people log in by; undefined where they do not
   * @throws Error that names the address and what to do, when it cannot be bound
   */
  async listen(address: Address | undefined, login?: LoginSetup): Promise<void> {
    this.#login = login;
    if (address !== undefined) await this.#begin(address);
  }

  /** From now on people log in by this. */
  renew(login: LoginSetup | undefined): void {
    this.#login = login;
    this.#worker?.postMessage({ login } satisfies Renewed);
  }

  /** Has a provider say anew who has a session. */
  refresh(due: Due): void {
    this.#worker?.postMessage({ due } satisfies Said);
  }

  #begin(address: Address): Promise<void> {
    const worker = new Worker(this.#script, {
      workerData: {
        address,
        limit: this.#limit,
        largestHead: this.#largestHead,
        paths: Object.keys(this.#pages),
        own: Object.keys(this.#own),
        login: this.#login,
      } satisfies Begin,
      resourceLimits: MEMORY,
    });
    this.#worker = worker;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    worker.on("message", (told: Told) => {
      if (told.kind === "asked") void this.#render(worker, told);
      else if (told.kind === "login") this.#told(told.event);
      else if (told.kind === "finished") void worker.terminate();
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
    worker.once("exit", () => {
      this.#worker = undefined;
      reject(new Error("the listener's thread has ended"));
    });
    return promise;
  }

  /** The port that was bound, where it was a TCP address. */
  get port(): number | undefined {
    return this.#port;
  }

  /**
   * Takes nothing new, and ends once everybody has their answer and every refresh is kept: what a provider has given for
   * it, it gives once.
   *
   * @param limit milliseconds after which it ends all the same
   */
  async finish(limit: number): Promise<void> {
    this.#closed = true;
    const worker = this.#worker;
    if (worker === undefined) return;
    // An error of the thread's is told where it is begun, and ends it as well.
    const ended = new Promise((resolve) => worker.once("exit", resolve));
    worker.postMessage("finish" satisfies Said);
    const late = setTimeout(() => void worker.terminate(), limit);
    await ended;
    clearTimeout(late);
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

  async #render(worker: Worker, { id, path, query }: Extract<Told, { kind: "asked" }>): Promise<void> {
    const page = await this.#page(path, query).catch((error: unknown): Page => {
      this.#failed(error);
      return { status: 500, type: "text/plain; charset=utf-8", body: "internal error\n" };
    });
    worker.postMessage({ id, page } satisfies Rendered);
  }

  async #page(path: string, query: string): Promise<Page> {
    const page = this.#pages[path] ?? this.#own[path];
    if (page === undefined) throw new Error("a page that the thread was not told of");
    return await page(query);
  }
}

/** A page of JSON. */
export function jsonPage(status: number, value: unknown): Page {
  return { status, type: "application/json; charset=utf-8", body: `${JSON.stringify(value, undefined, 2)}\n` };
}
