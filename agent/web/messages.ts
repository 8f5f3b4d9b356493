/** What the thread of a listener and the agent say to each other. */
import type { Address } from "../net/address.ts";

/** What the thread begins with. */
export interface Begin {
  readonly address: Address;
  /** Milliseconds for a whole connection: one request and one answer. */
  readonly limit: number;
  /** Of all pages, such as `/live`. */
  readonly paths: readonly string[];
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
  | { readonly kind: "asked"; readonly id: number; readonly path: string; readonly query: string };

/** The agent's answer to what the thread has asked. */
export interface Rendered {
  readonly id: number;
  readonly page: Page;
}
