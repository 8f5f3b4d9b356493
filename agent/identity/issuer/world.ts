import type { KeyObject } from "node:crypto";
import type { Send } from "../../http/fetch.ts";
import type { Slots } from "../../http/slots.ts";
import type { IdentityEvents } from "./events.ts";

/** Runs a task once after some milliseconds, without keeping the process alive; the function returned cancels it. */
export type Schedule = (delay: number, task: () => void) => () => void;

/** Signature checks that keep nobody else waiting; one for all issuers. */
export interface SignatureChecks {
  /** Resolves when it can check, or has failed. */
  start(): Promise<void>;
  /**
   * Whether a JWS in compact serialization is signed with a key.
   *
   * @param wanted whether somebody still waits for it; where nobody does and others wait, it is dropped
   * @throws Error when it cannot be told
   */
  check(
    text: string,
    algorithm: string,
    key: { readonly id: number; readonly publicKey: KeyObject },
    wanted?: () => boolean,
  ): Promise<boolean | "dropped">;
}

/** A session that is in use, and whose person its provider is to be asked about anew. Plain data, and no secret. */
export interface Due {
  /** Name of the issuer. */
  readonly issuer: string;
  readonly id: string;
}

/** What an issuer needs of the world. */
export interface World {
  /** One request to a provider and its answer; see agent/http/exchange.ts and document.ts for what is made of it. */
  readonly send: Send;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly schedule: Schedule;
  /** Bounds the fetches of all issuers together, but for those with slots of their own. */
  readonly slots: Slots;
  readonly signatures: SignatureChecks;
  readonly events: IdentityEvents;
  /** Told of sessions that are due, now and then as long as they are used; default: nobody is. */
  readonly due?: ((due: Due) => void) | undefined;
  /** Milliseconds that somebody who asks may wait for an answer. */
  readonly deadline: number;
}

/** What it takes to keep keys. */
export type KeyWorld = Omit<World, "signatures">;

/** What asking an authorization server needs of it. */
export type AskingWorld = Pick<World, "send" | "clock" | "schedule" | "events">;
