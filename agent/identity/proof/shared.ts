import { isDeepStrictEqual } from "node:util";
import type { DpopConfig } from "../../config/config.ts";
import type { CacheUse } from "../cache.ts";
import { Held } from "../held.ts";
import type { World } from "../issuer/world.ts";
import { keptFor, ProofMemory, Proofs } from "./proofs.ts";
import { ReplayStore } from "./replay-store.ts";

/** What the proofs of one snapshot rest on. It goes over to the next one: what has come once is not forgotten. */
export class SharedProofs {
  readonly proofs: Proofs;
  readonly #memory: ProofMemory;
  readonly #store: HeldStore | undefined;
  readonly #most: number;
  /** Called when it ends. */
  #ended = () => {};

  /** @param longest milliseconds for which a credential that counts once could come again */
  constructor(config: DpopConfig, { clock, signatures, events }: World, longest: number, before?: SharedProofs) {
    const kept = keptFor(config, longest);
    const { memory = new ProofMemory(clock()), store } = before === undefined ? {} : before.#inheritance();
    this.#memory = memory;
    this.#most = config.remembered;
    // A store is told of both in the same words, so the longer time holds there.
    this.#store = storeFor(config, Math.max(kept.proof, kept.once), store, events);
    this.#store?.held.retain();
    if (before !== undefined && before.#store !== undefined && this.#store === undefined) {
      // Until the snapshot before has ended, what comes to it is told to its store alone.
      before.#ended = () => this.#memory.begin(clock());
      before.#ended();
    }
    this.proofs = new Proofs(config, this.#memory, signatures, kept, this.#store?.held.value);
  }

  /** How full the memories are, of DPoP proofs and of credentials that count once; nothing where a store remembers. */
  get use(): { readonly proofs?: CacheUse; readonly once?: CacheUse } {
    if (this.#store !== undefined) return {};
    const limit = this.#most;
    const { replays, once } = this.#memory;
    return { proofs: { entries: replays.entries, limit }, once: { entries: once.entries, limit } };
  }

  /** Ends the connection to a store that no later snapshot has taken over. */
  close(): void {
    this.#store?.held.release();
    this.#ended();
  }

  #inheritance() {
    return { memory: this.#memory, store: this.#store };
  }
}

interface HeldStore {
  readonly held: Held<ReplayStore>;
  /** What it was made of. */
  readonly made: readonly unknown[];
}

/** That of before, where it is the same in every detail. */
function storeFor(
  { store }: DpopConfig,
  kept: number,
  before: HeldStore | undefined,
  events: World["events"],
): HeldStore | undefined {
  if (store === undefined) return undefined;
  const made = [store, kept];
  if (before !== undefined && !before.held.ended && isDeepStrictEqual(before.made, made)) return before;
  return { held: new Held(new ReplayStore(store, kept, (problem) => events.proofStore(problem))), made };
}
