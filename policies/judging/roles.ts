import type { Principal } from "../principal.ts";
import { Unknown } from "../unknown.ts";
import type { Binding } from "./binding.ts";
import { lookedThrough } from "./wanted.ts";

/** A role: who has one of its bindings has it. */
export class Role {
  readonly name: string;
  /** Filled while compiling: an included role may be written after the one that includes it. */
  readonly bindings: Binding[] = [];
  /** Whether all that is written of it could be read. */
  readonly whole: boolean;
  /** Names of the issuers whose principals could have it, some day. */
  issuers: ReadonlySet<string> = new Set();

  constructor(name: string, whole: boolean) {
    this.name = name;
    this.whole = whole;
  }
}

/** The roles that one principal has. */
export interface Held {
  readonly roles: ReadonlySet<Role>;
  /** Roles of which it cannot be told whether the principal has them. */
  readonly doubtful: ReadonlySet<Role>;
  /** Sorted; Unknown where any role is doubtful. */
  readonly names: readonly string[] | Unknown;
  /** Milliseconds since the epoch at which a binding ends and they must be found anew. */
  readonly until: number;
}

// Combinations of roles that are kept once for all principals that have them; past this each has its own copy.
const MOST_COMBINATIONS = 4096;
const NONE: ReadonlySet<Role> = new Set();
/** What may be looked through for the roles of one principal, as `lookedThrough` counts: about a millisecond. */
const MOST_LOOKED = 100_000;
const TOO_MUCH = new Unknown("groups", "more than is looked through for the roles of one principal", "cost-exceeded");

/** All roles of a set of policies, and who has them. */
export class Roles {
  readonly #ordered: readonly Role[];
  readonly #combinations = new Map<string, Held>();

  /** @param ordered included roles before those that include them */
  constructor(ordered: readonly Role[]) {
    this.#ordered = ordered;
  }

  /** @param now milliseconds since the epoch */
  of(principal: Principal, now: number): Held {
    const roles = new Set<Role>();
    const doubts = new Map<Role, Unknown>();
    let until = Number.POSITIVE_INFINITY;
    const most = lookedThrough() + MOST_LOOKED;
    for (const role of this.#ordered) {
      for (const binding of role.bindings) {
        if (now >= binding.until) continue;
        const truth = lookedThrough() > most ? TOO_MUCH : binding.holds(principal, roles, doubts);
        if (truth === false) continue;
        if (truth === true) roles.add(role);
        else doubts.set(role, truth);
        until = Math.min(until, binding.until);
      }
      if (roles.has(role)) doubts.delete(role);
    }
    const names = [...roles].map(({ name }) => name).sort();
    const [first] = doubts.values();
    const doubt = lookedThrough() > most && first !== undefined ? TOO_MUCH : first;
    if (doubt !== undefined) return { roles, doubtful: new Set(doubts.keys()), names: doubt, until };
    return this.#shared(names, { roles, doubtful: NONE, names, until });
  }

  /** Many principals have the same roles: the cached ones share one answer. */
  #shared(names: readonly string[], held: Held): Held {
    const name = `${held.until} ${names.join(" ")}`;
    const known = this.#combinations.get(name);
    if (known !== undefined) return known;
    if (this.#combinations.size < MOST_COMBINATIONS) this.#combinations.set(name, held);
    return held;
  }
}
