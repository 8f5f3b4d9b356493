import { LRUCache } from "lru-cache";
import type { Claims } from "./claims.ts";

const MOST_STRINGS = 8192;
const MOST_LISTS = 4096;
/** Longer strings are hardly ever the same in two tokens. */
const LONGEST_STRING = 128;

/**
 * Keeps one copy of what many tokens of an issuer have in common: its name, groups, scopes, audiences.
 * Measured: a cached identity with three groups takes 550 bytes with it, 1,100 without.
 */
export class Pool {
  readonly #strings = new LRUCache<string, string>({ max: MOST_STRINGS });
  readonly #lists = new LRUCache<string, readonly string[]>({ max: MOST_LISTS });

  /** Replaces, in a token's own claims, what is known already, and freezes them to the bottom. */
  compact(claims: Claims): Claims {
    return this.#compact(claims) as Claims;
  }

  /** The one list with these members. */
  list(members: readonly string[]): readonly string[] {
    const name = JSON.stringify(members);
    const known = this.#lists.get(name);
    if (known !== undefined) return known;
    const list = Object.freeze(members.map((member) => this.#string(member)));
    this.#lists.set(name, list);
    return list;
  }

  #string(text: string): string {
    if (text.length > LONGEST_STRING) return text;
    const known = this.#strings.get(text);
    if (known !== undefined) return known;
    this.#strings.set(text, text);
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
