/** What the thread of a listener and the agent say to each other. */
import type { Due } from "../identity/issuer/world.ts";
import type { Address } from "../net/address.ts";
import type { LoginEvent } from "../telemetry/events.ts";
import type { LoginSetup } from "./login/logins.ts";

/** What the thread begins with. */
export interface Begin {
  readonly address: Address;
  /** Milliseconds for a whole connection: one request and one answer. */
  readonly limit: number;
  /** Bytes of a request's head at most. */
  readonly largestHead: number;
  /** Of all pages, such as `/live`. */
  readonly paths: readonly string[];
  /** What people log in by; undefined where they do not. */
  readonly login: LoginSetup | undefined;
  /** Of pages that are each asker's own, and only for askers on this machine. */
  readonly own: readonly string[];
}

/** A page as it is sent. */
export interface Page {
  readonly status: number;
  /** Media type. */
  readonly type: string;
  readonly body: string;
  /** Cache-Control; default: `no-store` */
  readonly cache?: string;
}

/** Of the thread. */
export type Told =
  | { readonly kind: "listening"; readonly port: number | undefined }
  /** It cannot listen. */
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "asked"; readonly id: number; readonly path: string; readonly query: string }
  | { readonly kind: "login"; readonly event: LoginEvent }
  /** It takes nothing new, and nothing is under way any more. */
  | { readonly kind: "finished" };

/** To the thread. */
export type Said = Rendered | Renewed | { readonly due: Due } | "finish";

/** What people log in by from now on. */
export interface Renewed {
  readonly login: LoginSetup | undefined;
}

/** The agent's answer to what the thread has asked. */
export interface Rendered {
  readonly id: number;
  readonly page: Page;
}
