import type { Claims } from "./claims.ts";

/** Longer strings are hardly ever the same in two tokens. */
const LONGEST_STRING = 128;
const SLOTS = 4096;

/**
 * Keeps one copy of what many tokens of an issuer have in common: its name, groups, scopes, audiences.
 *
 * The last of those that share a slot is kept. Nothing is looked up in a Map, for which V8 would enter each string into
 * its table of all strings, nor is there an order to be kept.
 */
export class Pool {
  readonly #strings: string[] = new Array<string>(SLOTS).fill("");
  readonly #lists: (readonly string[])[] = new Array<readonly string[]>(SLOTS).fill(Object.freeze([]));

  /** Replaces, in a token's own claims, what is known already, and freezes them to the bottom. */
  compact(claims: Claims): Claims {
    return this.#compact(claims) as Claims;
  }

  /** The one list with these members; a frozen one, as in claims that were compacted, is it already. */
  list(members: readonly string[]): readonly string[] {
    if (Object.isFrozen(members)) return members;
    let slot = 0;
    for (const member of members) slot = (slot * 31 + slotOf(member)) % SLOTS;
    const known = this.#lists[slot] as readonly string[];
    if (isSame(known, members)) return known;
    const list = Object.freeze(members.map((member) => this.#string(member)));
    this.#lists[slot] = list;
    return list;
  }

  #string(text: string): string {
    if (text.length > LONGEST_STRING) return text;
    const slot = slotOf(text);
    const known = this.#strings[slot] as string;
    if (known === text) return known;
    this.#strings[slot] = text;
    return text;
  }

  #compact(value: unknown): unknown {
    if (typeof value === "string") return this.#string(value);
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return this.#compactList(value);
    const record = value as Record<string, unknown>;
    for (const name of Object.keys(record)) record[name] = this.#compact(record[name]);
    return Object.freeze(record);
  }

  #compactList(list: unknown[]): readonly unknown[] {
    if (list.every((member) => typeof member === "string")) return this.list(list);
    return Object.freeze(list.map((member) => this.#compact(member)));
  }
}

/** By every character of a short text, and eight to fifteen of a longer one. */
function slotOf(text: string): number {
  const { length } = text;
  const step = length >> 3 || 1;
  let hash = length;
  for (let i = length - 1; i >= 0; i -= step) hash = Math.imul(hash, 31) + text.charCodeAt(i);
  return (hash >>> 0) % SLOTS;
}

function isSame(known: readonly string[], members: readonly string[]): boolean {
  return known.length === members.length && known.every((member, i) => member === members[i]);
}
