import type { Principal } from "../../../policies/principal.ts";
import type { IssuerConfig } from "../../config/config.ts";
import type { Revocable } from "../../config/files/revoked.ts";
import type { ReadIssuer } from "../../config/sections/issuers.ts";
import type { Evidence } from "./evidence.ts";
import type { Refusal } from "./refusal.ts";
import type { World } from "./world.ts";

/** What identities rest on, such as a key. It is the same object for all of them, so that they end together. */
export interface Basis {
  /** Milliseconds since the epoch after which nothing may rest on it. 0 once it is withdrawn. */
  until: number;
  /** Cached identities that rest on it; the cache counts them. */
  identities: number;
  /** The id of the key, where it is one. */
  readonly kid?: string | undefined;
  /** Milliseconds since the epoch of the last time that it proved anybody; 0 for never. Undefined where nobody asks. */
  usedAt?: number;
}

/** What must be proven with every request beside the credential (RFC 7800); a member for each way of proving it. */
export interface Confirmation {
  /** RFC 9449, section 6.1: thumbprint of the key that a DPoP proof is signed with. */
  readonly jkt?: string;
  /** RFC 8705, section 3.1: thumbprint of the certificate that the client has shown. */
  readonly x5tS256?: string;
  /** The credential counts once: what tells it from all others, and when it was made (ms since the epoch). */
  readonly once?: { readonly digest: string; readonly madeAt: number };
  /** It is a browser's, and good where it was begun. */
  readonly session?: SessionBinding;
}

/** What a session's cookie is held to with every request. */
export interface SessionBinding {
  /** The only host that it counts at, in lower case and without port. */
  readonly host: string;
  /**
   * Takes note of a request, after everything else that could refuse its session.
   *
   * @param seen what the browser keeps as when it was last seen
   * @param now milliseconds since the epoch
   * @returns what it is to keep from now on; undefined where that can wait, `over` once it was idle for too long
   */
  use(seen: string, now: number): string | undefined;
}

/** Who a credential proves its sender to be. */
export interface Proven {
  readonly principal: Principal;
  readonly basis: Basis;
  /** Without it nothing more has to be proven. */
  readonly confirmation?: Confirmation | undefined;
  /** Milliseconds from now after which its issuer is to be asked anew, where it may have changed its mind meanwhile. */
  readonly lifetime?: number;
}

/** @member lasting whether the passing of time does not change it; only such a one is remembered, for a while */
export type Unproven = Refusal & { readonly lasting?: boolean };

/** What verifying a credential came to. */
export type Finding = Proven | Unproven;

/** What may be shown of a public key. */
export interface KeyView {
  readonly kid: string | undefined;
  readonly algorithms: ReadonlySet<string>;
  /** Why it is too weak for any algorithm; undefined where it is not. */
  readonly weakness: string | undefined;
}

/** What an issuer is doing, as plain data. */
export interface IssuerReport {
  /** Cached identities that rest on it. */
  readonly identities: number;
  /** When its provider was asked last, well or not, in milliseconds since the epoch; undefined where it never was. */
  readonly succeededAt: number | undefined;
  readonly failedAt: number | undefined;
  /** Why the provider cannot be asked, while it cannot; safe to show. */
  readonly error: string | undefined;
  /** When each of its credentials was last used, by an id that is no secret: milliseconds since the epoch, 0 for never. */
  readonly lastUses?: Readonly<Record<string, number>>;
  /** What its type has to tell besides, by the names of /status. */
  readonly details: Readonly<Record<string, Detail>>;
}

/** A number of what there should be, of which less is worse; or a list of what there should not be. */
export type Detail = number | readonly Readonly<Record<string, string>>[];

/**
 * One issuer of a configuration: whose credentials are its own, and whom they prove. It outlives a reload that leaves
 * its configuration unchanged.
 */
export interface Issuer {
  readonly config: IssuerConfig;
  /** Counts the changes of what its lasting refusals rest on. */
  readonly version: number;
  /** Milliseconds that a start or a reload waits for `ready`. */
  readonly patience: number;
  /** Whether a credential of a kind that its configuration takes is its own, by its form alone. Of two issuers one says so at most. */
  owns(evidence: Evidence): boolean;
  /**
   * Checks a credential of its own. Whatever cannot be told is a refusal.
   *
   * @param now milliseconds since the epoch
   * @param wanted whether somebody still waits for it
   * @returns what can be told at once, or a promise; it may take as long as a provider does
   */
  verify(evidence: Evidence, now: number, wanted: () => boolean): Finding | Promise<Finding>;
  /** Settles when its provider was asked once, well or not. */
  ready(): Promise<void>;
  status(): IssuerReport;
  /** The keys that it checks with, for an explanation. */
  keys?(): readonly KeyView[];
  /** Ends it, and at once every identity that rests on it. It refuses whatever comes then. */
  close(): void;
}

/** What there is to know of a type of issuers; the table of them is types.ts. */
export interface IssuerType<Own extends IssuerConfig = IssuerConfig> {
  /** Reads its section of the configuration into plain data, which goes to other threads and is compared at a reload. */
  readonly read: ReadIssuer<Own>;
  /** By what its credentials can be taken back, beside their subject. Default: by all that there is */
  readonly revocable?: readonly Revocable[];
  /** @param config as `read` has given it */
  create(config: Own, world: World): Issuer;
}

/** Types by the word that `type` of a section has for them. */
export type IssuerTypes = Readonly<Record<string, IssuerType>>;
