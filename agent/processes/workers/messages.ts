import type { LogHead } from "../../../records/audit/lines.ts";
import type { ResponderState } from "../../admin/status.ts";
import type { Due } from "../../identity/issuer/world.ts";
import type { CheckedSet } from "../../loading/load.ts";
import type { Address } from "../../net/address.ts";
import type { MetricValues } from "../../telemetry/metrics/metrics.ts";
import type { TapFilter, Tapped } from "../../telemetry/taps.ts";

/** What the primary asks of a worker. Each order is answered once it is done. */
export type Order =
  /** The first one: judge by this set, at these addresses. */
  | {
      readonly kind: "begin";
      readonly worker: number;
      readonly set: CheckedSet;
      readonly addresses: readonly Address[];
      /** Others answer meanwhile: HAProxy is to find it only once it can verify. */
      readonly joining: boolean;
    }
  /** Answered when every issuer was asked for its keys. */
  | { readonly kind: "ready" }
  /** Build what follows the set in force, beside it. */
  | { readonly kind: "prepare"; readonly set: CheckedSet }
  /** Judge by what was prepared. */
  | { readonly kind: "commit" }
  | { readonly kind: "report" }
  /** Record how far the audit logs of all have come, and say how far this one's has. */
  | { readonly kind: "heads"; readonly heads: readonly LogHead[] }
  | { readonly kind: "tap"; readonly name: string; readonly filter: TapFilter }
  /** Answer on while HAProxy leaves, for so many milliseconds at most, then end. */
  | { readonly kind: "drain"; readonly limit: number }
  /** End now. */
  | { readonly kind: "close" };

export interface Asked {
  readonly id: number;
  readonly order: Order;
}

export interface Reply {
  readonly id: number;
  /** Of the order of this name. */
  readonly report?: Report;
  readonly tapped?: Tapped;
  readonly head?: LogHead;
  /** Why the order could not be carried out. */
  readonly fault?: string;
}

/** What a worker tells by itself. */
export interface Unasked {
  readonly due: Due;
}

export interface Report {
  readonly state: ResponderState;
  readonly metrics: readonly MetricValues[];
}
