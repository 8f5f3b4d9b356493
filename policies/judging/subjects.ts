import type { Decision } from "../decision.ts";
import type { Principal } from "../principal.ts";
import type { Held, Roles } from "./roles.ts";
import type { Rule } from "./rule.ts";

/** Subjects of one generation; two are kept. Each takes some 1,000 bytes with its decisions and what is made of them. */
const GENERATION = 8_192;
/** Decisions that are kept of one subject. */
const MOST_DECISIONS = 16;

/** A principal with the roles it has in these policies. */
export interface Subject {
  readonly principal: Principal;
  readonly held: Held;
  /** What rules have decided that ask nothing of the request: the same principal always gets the same answer. */
  decisions: Map<Rule, Decision> | undefined;
}

/**
 * The principals that a set of policies has judged lately, told apart as objects: the identity cache gives the same one
 * for the same token.
 *
 * When a generation is full the one before it is forgotten, so what is asked for often stays, at the price of a look-up
 * in two maps. A WeakMap of all would follow the identity cache; with 100,000 identities it took 100 MB more.
 */
export class Subjects {
  readonly #roles: Roles;
  #young = new Map<Principal, Subject>();
  #old = new Map<Principal, Subject>();

  constructor(roles: Roles) {
    this.#roles = roles;
  }

  /** @param now milliseconds since the epoch; a binding that has ended changes roles, and so every decision */
  of(principal: Principal, now: number): Subject {
    const young = this.#young.get(principal);
    if (young !== undefined && now < young.held.until) return young;
    const old = this.#old.get(principal);
    const known = old !== undefined && now < old.held.until ? old : undefined;
    const subject = known ?? { principal, held: this.#roles.of(principal, now), decisions: undefined };
    if (this.#young.size >= GENERATION) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(principal, subject);
    return subject;
  }

  /** Keeps a decision of a rule that is `constant`. */
  remember(subject: Subject, rule: Rule, decision: Decision): void {
    subject.decisions ??= new Map();
    if (subject.decisions.size < MOST_DECISIONS) subject.decisions.set(rule, decision);
  }
}
