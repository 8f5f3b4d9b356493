import type { Decision } from "../decision.ts";
import type { Principal } from "../principal.ts";
import type { Held, Roles } from "./roles.ts";
import type { Rule } from "./rule.ts";

/** Subjects of one generation; two are kept. Each takes some 1,000 bytes with its decisions and what is made of them. */
const GENERATION = 8_192;
/** Of the principals that are not kept every so many-th one is kept: soon all that come often, and few that do not. */
const PATIENCE = 16;
/** Decisions that are kept of one subject. */
const MOST_DECISIONS = 16;

/** A principal with the roles it has in these policies. */
export interface Subject {
  readonly principal: Principal;
  readonly held: Held;
  /**
   * What rules have decided that ask nothing of the request: the same principal always gets the same answer.
   * `undefined` for a principal that is not kept.
   */
  readonly decisions: Map<Rule, Decision> | undefined;
}

/**
 * The principals that a set of policies has judged lately, told apart as objects: the identity cache gives the same one
 * for the same token.
 *
 * When a generation is full the one before it is forgotten, so what is asked for often stays, at the price of a look-up
 * in two maps. A WeakMap of all would follow the identity cache; with 100,000 identities it took 100 MB more. Of most who
 * came once nothing is kept, not even the principal: what outlives V8's young generation has to be copied. Measured with
 * new tokens only, to keep one of 8 made a scavenge take 3.2 ms, one of 16 2.2.
 */
export class Subjects {
  readonly #roles: Roles;
  #young = new Map<Principal, Subject>();
  #old = new Map<Principal, Subject>();
  #passed = 0;

  constructor(roles: Roles) {
    this.#roles = roles;
  }

  /** @param now milliseconds since the epoch; a binding that has ended changes roles, and so every decision */
  of(principal: Principal, now: number): Subject {
    const young = this.#young.get(principal);
    if (young !== undefined && now < young.held.until) return young;
    const old = this.#old.get(principal);
    if (old !== undefined && now < old.held.until) return this.#kept(old);
    const held = this.#roles.of(principal, now);
    const known = young !== undefined || old !== undefined;
    if (!known && ++this.#passed % PATIENCE !== 0) return { principal, held, decisions: undefined };
    return this.#kept({ principal, held, decisions: new Map() });
  }

  /** Keeps a decision of a rule that is `constant`. Returns whether it is kept. */
  remember({ decisions }: Subject, rule: Rule, decision: Decision): boolean {
    if (decisions === undefined || decisions.size >= MOST_DECISIONS) return false;
    decisions.set(rule, decision);
    return true;
  }

  #kept(subject: Subject): Subject {
    if (this.#young.size >= GENERATION) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(subject.principal, subject);
    return subject;
  }
}
