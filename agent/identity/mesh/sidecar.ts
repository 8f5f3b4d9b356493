import { objectOf } from "../../http/document.ts";
import { exchange } from "../../http/exchange.ts";
import { FetchError } from "../../http/fetch-error.ts";
import type { Basis } from "../issuer/issuer.ts";
import type { World } from "../issuer/world.ts";
import type { MeshIssuer } from "./section.ts";

/** Milliseconds between two looks, from a failed one to the next, for one answer, and for which one counts. */
const EVERY = 10_000;
const AFTER_FAILURE = 1_000;
const PATIENCE = 2_000;
const COUNTS_FOR = 30_000;
const LARGEST = 65_536;

const DEFAULT_POLICY = "LINKERD2_PROXY_INBOUND_DEFAULT_POLICY";
/** Ports on which it would not act as a proxy of HTTP, or by a policy of its own where no other is known. */
const PORT_LISTS = [
  "LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION",
  "LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_IDENTITY",
  "LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_TLS",
];
/** It then goes wherever a request's `l5d-dst-override` says, and to this pod itself it hands on whatever the request has. */
const INGRESS_MODE = "LINKERD2_PROXY_INGRESS_MODE";
/** A gateway hands over what other clusters send, from its own address and with the header as it came. */
const GATEWAY = "LINKERD2_PROXY_INBOUND_GATEWAY_SUFFIXES";
const QUESTION = [DEFAULT_POLICY, ...PORT_LISTS, INGRESS_MODE, GATEWAY].join("&");

/**
 * Whether the Linkerd proxy beside HAProxy hands nothing over but what its policies allow: then a Server must say what
 * the port is, and where that says HTTP the proxy writes the header itself. It is asked for its environment, at once
 * and every 10 s; what it has said counts for 30 s.
 */
export class Sidecar {
  readonly #config: MeshIssuer;
  readonly #world: World;
  readonly #basis: Basis = { until: 0, identities: 0 };
  #closed = false;
  #cancel: () => void = () => {};
  #cancelEnd: () => void = () => {};
  #abort = new AbortController();
  /** Settles once it was asked, well or not. */
  readonly first: Promise<void>;
  asked = false;
  succeededAt: number | undefined;
  failedAt: number | undefined;
  /** Why it is not believed, while it is not; safe to show. */
  error: string | undefined;

  constructor(config: MeshIssuer, world: World) {
    this.#config = config;
    this.#world = world;
    this.first = this.#ask();
  }

  /** What identities may rest on now; undefined where it is not proven. */
  basis(now: number): Basis | undefined {
    return now < this.#basis.until ? this.#basis : undefined;
  }

  get identities(): number {
    return this.#basis.identities;
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
    this.#abort.abort();
    this.#end();
  }

  async #ask(): Promise<void> {
    const { clock, schedule, events } = this.#world;
    const begun = clock();
    this.#abort = new AbortController();
    const cancel = schedule(PATIENCE, () => this.#abort.abort());
    try {
      const problem = await this.#look();
      if (this.#closed) return;
      if (problem === undefined) this.#proven(begun);
      else this.#unfit(problem);
      events.fetched(this.#config.name, "sidecar", problem === undefined ? "ok" : "error", clock() - begun, problem);
    } catch (error) {
      this.#failed(error instanceof FetchError ? error.message : "failed");
      events.fetched(this.#config.name, "sidecar", "error", clock() - begun, this.error);
    } finally {
      cancel();
      this.asked = true;
      if (!this.#closed) {
        this.#cancel = schedule(this.error === undefined ? EVERY : AFTER_FAILURE, () => void this.#ask());
      }
    }
  }

  #proven(begun: number): void {
    this.#basis.until = begun + COUNTS_FOR;
    // By a timer too: a clock that is set back must not prolong it.
    this.#cancelEnd();
    this.#cancelEnd = this.#world.schedule(COUNTS_FOR, () => this.#end());
    this.succeededAt = this.#world.clock();
    this.error = undefined;
  }

  /** What rests on it ends at once; where it only does not answer, when the last answer counts no more. */
  #unfit(problem: string): void {
    this.#end();
    this.#failed(problem);
  }

  #end(): void {
    this.#cancelEnd();
    this.#basis.until = 0;
  }

  #failed(problem: string): void {
    this.failedAt = this.#world.clock();
    this.error = problem;
  }

  /** @returns why it is not to be believed @throws {FetchError} where it does not answer */
  async #look(): Promise<string | undefined> {
    const url = new URL(`/env.json?${QUESTION}`, this.#config.admin);
    const bounds = { signal: this.#abort.signal, ca: undefined, proxy: undefined, maxSize: LARGEST };
    return unfit(objectOf(url, await exchange(this.#world.send, url, bounds)), this.#config.port);
  }
}

/** Why a proxy with these variables is not to be believed at a port; undefined where it is. */
export function unfit(environment: Readonly<Record<string, unknown>>, port: number): string | undefined {
  const policy = environment[DEFAULT_POLICY];
  if (policy !== "deny") {
    const found = typeof policy === "string" ? `is ${JSON.stringify(policy.slice(0, 40))}` : "is not told";
    return `${DEFAULT_POLICY} ${found}, and must be "deny": config.linkerd.io/default-inbound-policy of HAProxy's pod`;
  }
  for (const name of PORT_LISTS) {
    const ports = portsOf(environment[name]);
    if (ports === undefined) return `${name} cannot be read`;
    if (ports.some(([from, to]) => port >= from && port <= to)) {
      return `${name} has the port ${port}: take it out of config.linkerd.io/opaque-ports of HAProxy's pod`;
    }
  }
  const mode = environment[INGRESS_MODE] ?? "false";
  if (mode !== "false" && mode !== "") {
    return `${INGRESS_MODE} is set: linkerd.io/inject of HAProxy's pod must be "enabled", not "ingress"`;
  }
  const gateway = environment[GATEWAY] ?? "";
  return gateway === "" ? undefined : `${GATEWAY} is set: a gateway hands over what others have written`;
}

/** Ports and ranges of them, `25,4444-4450`; undefined where it cannot be read. */
function portsOf(value: unknown): readonly (readonly [number, number])[] | undefined {
  if (value === undefined || value === null || value === "") return [];
  if (typeof value !== "string" || !/^\d{1,5}(?:-\d{1,5})?(?:,\d{1,5}(?:-\d{1,5})?)*$/.test(value)) return undefined;
  return value.split(",").map((entry) => {
    const [from = 0, to = from] = entry.split("-").map(Number);
    return [from, to] as const;
  });
}
