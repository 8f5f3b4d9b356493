import type { LogHead } from "../../../records/audit/lines.ts";
import type { WorkerState } from "../../admin/status.ts";
import type { Due } from "../../identity/issuer/world.ts";
import type { CheckedSet } from "../../loading/load.ts";
import type { Address } from "../../net/address.ts";
import { MOST_TAPS, type TapFilter, type Tapped } from "../../telemetry/taps.ts";
import { Child, type Relay } from "./child.ts";
import type { Order, Report } from "./messages.ts";

/** Milliseconds until a worker that has ended is started again: the first time, and at most. Each time twice as long. */
const FIRST_DELAY = 100;
const LONGEST_DELAY = 10_000;
/** Milliseconds of service after which an end counts as the first one again. */
const STABLE = 60_000;
/** Milliseconds in which a worker has to report; a kubelet waits for 1 s. Past them its last report counts. */
const REPORT_LIMIT = 500;
/** Milliseconds in which it has to begin, or to prepare a set; an issuer is waited for 5 s. */
const PREPARE_LIMIT = 30_000;
/** Milliseconds in which it has to judge by what it has prepared. */
const COMMIT_LIMIT = 5_000;
/** Milliseconds after which HAProxy, which checks once a second, must have come. */
const ASKED_BY = 10_000;

/** The place of one worker, which outlives the processes that fill it. */
export class Seat {
  /** From 1. */
  readonly worker: number;
  readonly #addresses: readonly Address[];
  readonly #relay: Relay;
  readonly #clock: () => number;
  readonly #due: (due: Due) => void;
  #child: Child | undefined;
  /** What its process judges by. */
  #set: CheckedSet | undefined;
  /** Milliseconds since the epoch; undefined while it is not ready. */
  #readySince: number | undefined;
  #report: Report | undefined;
  #reporting: Promise<boolean> | undefined;
  /** What it was asked for by taps and has not answered, or nobody has taken. */
  readonly #tapping = new Map<string, Promise<Tapped | undefined>>();
  #head: LogHead | undefined;
  #exchanging = false;
  #silent = false;
  #failures = 0;
  #restarts = 0;
  #lastEnd: string | undefined;

  /** @param due told of sessions that are due */
  constructor(
    worker: number,
    addresses: readonly Address[],
    relay: Relay,
    due: (due: Due) => void,
    clock: () => number,
  ) {
    this.worker = worker;
    this.#addresses = addresses;
    this.#relay = relay;
    this.#clock = clock;
    this.#due = due;
  }

  /** Whether its process answers HAProxy, and knows the issuers' keys if anybody does. */
  get isReady(): boolean {
    return this.#readySince !== undefined;
  }

  /**
   * Starts a process, and resolves once it listens.
   *
   * @param joining whether others answer meanwhile: then it listens once it is ready
   * @param ended told when it has ended, with how
   * @throws {Error} that says why it does not listen; the process is then ended
   */
  async begin(set: CheckedSet, joining: boolean, ended: (end: string) => void): Promise<void> {
    const child = new Child(this.#relay, this.#due);
    this.#child = child;
    this.#set = set;
    void child.ended.then((end) => {
      this.#child = undefined;
      this.#readySince = undefined;
      this.#lastEnd = end;
      ended(end);
    });
    try {
      const order = { kind: "begin", worker: this.worker, set, addresses: this.#addresses, joining } as const;
      await inTime(child, order, PREPARE_LIMIT, "took too long to begin");
    } catch (error) {
      child.kill(error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  /** Resolves once its issuers were asked for their keys. @throws {Error} when it ends first */
  async ready(): Promise<void> {
    const child = this.#child;
    if (child === undefined) throw new Error(`the worker ended by ${this.#lastEnd}`);
    await inTime(child, { kind: "ready" }, PREPARE_LIMIT, "took too long to ask the issuers for their keys");
    if (child.over) throw new Error(`the worker ended by ${this.#lastEnd}`);
    this.#readySince = this.#clock();
  }

  /** Counts an end. @returns milliseconds until it is to be started again */
  restartDelay(): number {
    this.#restarts++;
    return Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** Math.min(this.#failures++, 10));
  }

  /** Whether there is a process that judges, or will, by another set than this one. */
  isBehind(set: CheckedSet): boolean {
    return this.#child !== undefined && this.#set !== set;
  }

  /**
   * Has it build what follows the set in force. One that takes too long is ended.
   *
   * @returns whether it has; it has not where it has ended
   * @throws {Error} that says why the set cannot be built
   */
  async prepare(set: CheckedSet): Promise<boolean> {
    const child = this.#child;
    if (child === undefined) return false;
    try {
      await inTime(child, { kind: "prepare", set }, PREPARE_LIMIT, "took too long to prepare a reload");
      return true;
    } catch (error) {
      if (child.over) return false;
      throw error;
    }
  }

  /** Has it judge by what it has prepared. One that cannot, or takes too long, is ended. */
  async commit(set: CheckedSet): Promise<void> {
    const child = this.#child;
    this.#set = set;
    if (child === undefined) return;
    // It begins again with the set in force: nobody judges by another one.
    const unable = () => child.kill("could not judge by a reload");
    await inTime(child, { kind: "commit" }, COMMIT_LIMIT, "took too long to judge by a reload").catch(unable);
  }

  /** Asks for a report, for a bounded time. @returns the last one there is */
  async report(): Promise<Report | undefined> {
    const child = this.#child;
    if (child === undefined) return undefined;
    // One that stands still is not asked again and again.
    this.#reporting ??= child.ask({ kind: "report" }).then(
      ({ report }) => this.#reported(child, report),
      () => this.#reported(child, undefined),
    );
    this.#silent = !(await within(REPORT_LIMIT, this.#reporting));
    return this.#report;
  }

  /** What its last report said, which then is forgotten: its process has ended. */
  takeReport(): Report | undefined {
    const report = this.#report;
    this.#report = undefined;
    return report;
  }

  /** What it has for a tap; undefined where it does not answer in time, and then it is told the next time. */
  async tap(name: string, filter: TapFilter): Promise<Tapped | undefined> {
    const child = this.#child;
    if (child === undefined || !this.isReady) return undefined;
    const asked =
      this.#tapping.get(name) ??
      child.ask({ kind: "tap", name, filter }).then(
        ({ tapped }) => tapped,
        () => undefined,
      );
    // Of taps that are gone while a process stands still.
    if (this.#tapping.size > MOST_TAPS) this.#tapping.clear();
    this.#tapping.set(name, asked);
    const answered = await within(
      REPORT_LIMIT,
      asked.then(() => true),
    );
    if (!answered) return undefined;
    this.#tapping.delete(name);
    return await asked;
  }

  /** How far the audit log of its processes has come, as the last one that was asked has said. */
  get head(): LogHead | undefined {
    return this.#head;
  }

  /** Tells its process how far the audit logs of all have come, and asks the same of it; nobody waits for that. */
  exchangeHeads(heads: readonly LogHead[]): void {
    const child = this.#child;
    // One that stands still is not asked again and again.
    if (child === undefined || this.#exchanging) return;
    this.#exchanging = true;
    const answered = (head = this.#head) => {
      this.#head = head;
      this.#exchanging = false;
    };
    child.ask({ kind: "heads", heads }).then(
      ({ head }) => answered(head),
      () => answered(),
    );
  }

  /** Whether HAProxy has ever come to its process. */
  get wasAsked(): boolean {
    return (this.#report?.state.opened ?? 0) > 0;
  }

  /** @param othersAreAsked whether HAProxy has come to any worker */
  state(othersAreAsked: boolean): WorkerState {
    const { connections = 0, inFlight = 0, requests = 0 } = this.#report?.state ?? {};
    return {
      worker: this.worker,
      pid: this.#child?.pid,
      state: this.#stateName(),
      ...{ connections, inFlight, requests },
      restarts: this.#restarts,
      lastEnd: this.#lastEnd,
      problem: this.#problem(othersAreAsked && !this.wasAsked),
    };
  }

  /** Ends its process by an order, or after the limit in milliseconds all the same. */
  async end(order: Order, limit: number): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const late = setTimeout(() => child.kill(), limit);
    child.ask(order).catch(() => {});
    await child.ended;
    clearTimeout(late);
  }

  #reported(child: Child, report: Report | undefined): boolean {
    this.#reporting = undefined;
    if (child !== this.#child || report === undefined) return false;
    this.#report = report;
    if (this.#readySince !== undefined && this.#clock() - this.#readySince > STABLE) this.#failures = 0;
    return true;
  }

  #stateName(): WorkerState["state"] {
    if (this.#child === undefined) return "down";
    if (this.#readySince === undefined) return "starting";
    return this.#silent ? "silent" : "ready";
  }

  #problem(unasked: boolean): string | undefined {
    const state = this.#stateName();
    if (state === "silent") return `does not answer within ${REPORT_LIMIT} ms`;
    if (state !== "ready" && this.#lastEnd !== undefined) return `is ${state}: its process ended by ${this.#lastEnd}`;
    if (unasked && this.#readySince !== undefined && this.#clock() - this.#readySince > ASKED_BY) {
      return "is never asked: HAProxy has no server for it; generate its files anew and reload it";
    }
    return undefined;
  }
}

/** Has an order carried out. A process that takes longer is ended, @param why told as its end */
async function inTime(child: Child, order: Order, limit: number, why: string): Promise<void> {
  const late = setTimeout(() => child.kill(why), limit);
  try {
    await child.ask(order);
  } finally {
    clearTimeout(late);
  }
}

/** Whether a promise resolves to true within so many milliseconds. */
async function within(limit: number, promise: Promise<boolean>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), limit);
  const outcome = await Promise.race([promise, late]);
  clearTimeout(timer);
  return outcome;
}
