/** What the admin listener's thread and the agent say to each other. */
import type { Address } from "../net/address.ts";

/** What the thread begins with. */
export interface Begin {
  readonly address: Address;
  /** Milliseconds for a whole connection: one request and one answer. */
  readonly limit: number;
}

export const PAGES = ["live", "ready", "status", "metrics"] as const;
export type PageName = (typeof PAGES)[number];

/** A page as it is sent. */
export interface Page {
  readonly status: number;
  /** Media type. */
  readonly type: string;
  readonly body: string;
}

/** Of the thread. */
export type Told =
  | { readonly kind: "listening"; readonly port: number | undefined }
  /** It cannot listen. */
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "asked"; readonly name: PageName };

/** The agent's answer to what the thread has asked. */
export interface Rendered {
  readonly name: PageName;
  readonly page: Page;
}
