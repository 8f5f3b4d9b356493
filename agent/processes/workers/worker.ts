import type { Snapshot } from "../../answer/snapshot.ts";
import type { Config } from "../../config/config.ts";
import type { Due } from "../../identity/issuer/world.ts";
import { compileBeside } from "../../loading/reload.ts";
import type { Telemetry } from "../../telemetry/telemetry.ts";
import { endOnBug } from "../crash.ts";
import { EXIT } from "../exit.ts";
import { closeSnapshot, Responder } from "../responder.ts";
import type { Signals } from "../signals.ts";
import type { Asked, Order, Reply, Unasked } from "./messages.ts";

/**
 * One of several processes that answer HAProxy, as the primary orders it to. It reads no file of the configuration,
 * and ends with the primary: node:cluster ends a worker whose channel is gone, so that HAProxy finds nobody there and
 * refuses.
 *
 * @returns the exit code, once it is told to end
 */
export async function work(clock: () => number, signals: Signals): Promise<number> {
  const worker = new Worker(clock);
  // The primary has them too, and orders what is to be done: a terminal sends signals to all processes at once.
  signals.ignore();
  endOnBug((error) => worker.crashed(error));
  process.on("message", (asked: Asked) => void worker.obey(asked));
  await worker.ended;
  if (process.connected) process.disconnect?.();
  return EXIT.fine;
}

class Worker {
  readonly ended: Promise<void>;
  readonly #end: () => void;
  readonly #clock: () => number;
  #responder: Promise<Responder> | undefined;
  #prepared: Snapshot | undefined;

  constructor(clock: () => number) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#end = resolve;
    this.#clock = clock;
  }

  async obey({ id, order }: Asked): Promise<void> {
    const reply = await this.#done(order).then(
      (more) => ({ id, ...more }),
      (error: unknown) => ({ id, fault: error instanceof Error ? error.message : String(error) }),
    );
    if (process.connected) await new Promise((resolve) => process.send?.(reply satisfies Reply, resolve));
    if (order.kind === "drain" || order.kind === "close") this.#end();
  }

  /** Tells of a bug, in the log or where there is none yet. */
  async crashed(error: unknown): Promise<void> {
    const responder = await this.#responder?.catch(() => undefined);
    if (responder !== undefined) await responder.crashed(error);
    else process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  }

  async #done(order: Order): Promise<Omit<Reply, "id">> {
    if (order.kind === "begin") this.#responder = this.#begun(order);
    const responder = await this.#responder;
    if (responder === undefined) throw new Error("not begun");
    switch (order.kind) {
      case "begin":
        return {};
      case "ready":
        await responder.ready();
        return {};
      case "prepare":
        // One that never came into force, because the others could not follow.
        if (this.#prepared !== undefined) closeSnapshot(this.#prepared);
        this.#prepared = undefined;
        this.#prepared = await responder.prepare(await compileBeside(order.set, this.#clock));
        return {};
      case "commit":
        if (this.#prepared === undefined) throw new Error("nothing was prepared");
        responder.swap(this.#prepared);
        responder.telemetry.configured(adjustable(this.#prepared.config));
        this.#prepared = undefined;
        return {};
      case "report":
        return { report: { state: responder.state(), metrics: await responder.telemetry.metricValues() } };
      case "heads": {
        const head = responder.telemetry.exchangeHeads(order.heads);
        return head === undefined ? {} : { head };
      }
      case "tap": {
        const tapped = responder.telemetry.tap(order.name, order.filter);
        return tapped === undefined ? {} : { tapped };
      }
      case "drain":
        await responder.drain(order.limit);
        return await this.#close(responder);
      case "close":
        return await this.#close(responder);
    }
  }

  async #begun({ worker, set, addresses, joining }: Extract<Order, { kind: "begin" }>): Promise<Responder> {
    const responder = new Responder(await compileBeside(set, this.#clock), this.#clock, tellDue, worker);
    responder.telemetry.configured(adjustable(set.config));
    if (joining) await responder.ready();
    await responder.listen(addresses);
    return responder;
  }

  async #close(responder: Responder): Promise<Omit<Reply, "id">> {
    await responder.close();
    await responder.telemetry.close();
    return {};
  }
}

/** To the primary, whose web listener asks providers. */
function tellDue(due: Due): void {
  if (process.connected) process.send?.({ due } satisfies Unasked, () => {});
}

function adjustable({ log, issuers }: Config): Parameters<Telemetry["configured"]>[0] {
  return { log, issuers: issuers.map(({ name }) => name) };
}
