import type { Contract } from "../../haproxy/contract.ts";
import type { VariableName } from "../../haproxy/variables.ts";
import type { Policies } from "../../policies/policies.ts";
import { largestAck } from "./pipelining.ts";

/** Engines that are remembered: HAProxy before 3.1 has one a thread, and each reload brings new ones. */
const MOST_ENGINES = 1024;
/** Characters of an engine-id; HAProxy's are UUIDs of 36. */
const LONGEST_ID = 64;

/**
 * One SPOE engine of a HAProxy, which all its connections name, and what it was configured to set. The contract comes
 * with the NOTIFYs only; until then it is taken to be the one that is generated.
 */
export class Engine {
  #variables: ReadonlySet<VariableName> = new Set(["subject"]);
  #policies: Policies | undefined;
  #bytes = 0;

  /** Counts for this contract, too. @returns whether the engine's largest ACK has grown by it */
  learn({ variables }: Pick<Contract, "variables">): boolean {
    if (variables.every((name) => this.#variables.has(name))) return false;
    this.#variables = new Set([...this.#variables, ...variables]);
    this.#policies = undefined;
    return true;
  }

  /** Bytes of the largest ACK that these policies can cause on its connections. */
  largestAck(policies: Policies): number {
    if (policies !== this.#policies) {
      const headers = policies.uses.identityHeaders.map(({ name }) => name);
      this.#policies = policies;
      this.#bytes = largestAck(policies, { variables: [...this.#variables], headers });
    }
    return this.#bytes;
  }
}

/**
 * The engines that have said HELLO, those that did so last. What one has shown is true of its own connections only:
 * whoever else can connect makes no HAProxy go without pipelining. It outlives the connections, or a HAProxy that comes
 * back after a pause would be offered anew what cannot work.
 */
export class Engines {
  readonly #known = new Map<string, Engine>();

  /** @param id as in the HELLO; who has none shares nothing with others */
  of(id: string): Engine {
    if (id === "" || id.length > LONGEST_ID) return new Engine();
    const engine = this.#known.get(id) ?? new Engine();
    this.#known.delete(id);
    this.#known.set(id, engine);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MOST_ENGINES && oldest !== undefined) this.#known.delete(oldest);
    return engine;
  }
}
