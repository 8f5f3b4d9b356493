import type { Decision } from "../decision.ts";
import type { Principal } from "../principal.ts";
import type { Held, Roles } from "./roles.ts";
import type { Rule } from "./rule.ts";

/** Decisions that are remembered for all subjects together; some 300 bytes each. Past it all are forgotten. */
const MOST_DECISIONS = 20_000;

/** A principal with the roles it has in these policies. */
export interface Subject {
  readonly principal: Principal;
  readonly held: Held;
  /** What rules have decided that ask nothing of the request: the same principal always gets the same answer. */
  decisions: Map<Rule, Decision> | undefined;
}

/**
 * The principals that a set of policies has judged. A principal is one object as long as the identity cache keeps it,
 * and what is known of it here ends with it.
 */
export class Subjects {
  readonly #roles: Roles;
  #known = new WeakMap<Principal, Subject>();
  #remembered = 0;

  constructor(roles: Roles) {
    this.#roles = roles;
  }

  /** @param now milliseconds since the epoch; a binding that has ended changes roles, and so every decision */
  of(principal: Principal, now: number): Subject {
    const known = this.#known.get(principal);
    if (known !== undefined && now < known.held.until) return known;
    const subject: Subject = { principal, held: this.#roles.of(principal, now), decisions: undefined };
    this.#known.set(principal, subject);
    return subject;
  }

  remember(subject: Subject, rule: Rule, decision: Decision): void {
    if (++this.#remembered > MOST_DECISIONS) {
      this.#known = new WeakMap();
      this.#remembered = 1;
    }
    subject.decisions ??= new Map();
    subject.decisions.set(rule, decision);
  }
}
