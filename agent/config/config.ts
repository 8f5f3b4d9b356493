import type { CredentialName } from "../../haproxy/credentials.ts";
import type { Backend, BackendTls } from "../../haproxy/input.ts";
import type { Arns } from "../../policies/judging/binding.ts";
import type { WantedEntry } from "../../policies/judging/wanted.ts";
import type { Kind } from "../../policies/principal.ts";
import type { Address } from "../net/address.ts";
import type { RingKey } from "./files/key-ring.ts";
import type { Revocation } from "./files/revoked.ts";
import type { SealingKey } from "./files/sealing-ring.ts";
import type { AuditConfig } from "./sections/audit.ts";
import type { TracesConfig } from "./sections/traces.ts";

/** The agent's configuration, checked and with all defaults filled in. Durations are milliseconds, sizes bytes. */
export interface Config {
  /** Absolute path of the file it was read from. */
  readonly file: string;
  readonly listen: {
    readonly spop: readonly Address[];
    readonly admin: Address | undefined;
    readonly web: Address | undefined;
  };
  /** Processes that answer HAProxy, each at addresses of its own; one answers in the agent's first process. */
  readonly workers: number;
  /** Absolute paths of files and directories. */
  readonly policies: readonly string[];
  readonly issuers: readonly IssuerConfig[];
  /** What was taken back, of whichever issuer. Default: nothing */
  readonly revoked?: readonly Revocation[] | undefined;
  readonly haproxy: HaproxyConfig;
  readonly dpop: DpopConfig;
  /** The mesh that HAProxy and meshed Services are in; undefined where nothing says it. */
  readonly mesh: MeshConfig | undefined;
  /** What backends are told of an allowed request in a form that they can check; undefined where nothing says it. */
  readonly assertion: AssertionConfig | undefined;
  /** What the sessions of people who log in by a browser have in common; undefined where nobody does. */
  readonly sessions?: SessionsConfig | undefined;
  /** Time for the agent's own answer; HAProxy waits 100 ms longer. */
  readonly deadline: number;
  readonly cache: { readonly identities: number; readonly lifetime: number; readonly refusals: number };
  readonly limits: {
    readonly token: number;
    readonly connections: number;
    readonly inFlight: number;
    readonly fetches: number;
  };
  readonly audit: AuditConfig | undefined;
  /** Where requests are told of in their traces; undefined where nothing says it. */
  readonly traces?: TracesConfig | undefined;
  readonly log: {
    readonly level: "debug" | "info" | "warn" | "error";
    readonly decisions: "all" | "refused" | "replayable";
    readonly destination: "stdout" | "stderr";
  };
}

/** What DPoP proofs (RFC 9449) are held to, and where those that have come are remembered. */
export interface DpopConfig {
  /** Of signatures; all asymmetric. */
  readonly algorithms: readonly string[];
  /** Age of a proof at most, and how far ahead of ours its clock may be. */
  readonly maxAge: number;
  readonly clockTolerance: number;
  /** Whether a proof has to bear a nonce of ours. */
  readonly nonces: boolean;
  /** What nonces are made of; undefined for one that is made at the start. */
  readonly secret: string | undefined;
  /** Ports that clients' URLs may have beside the scheme's own. */
  readonly ports: readonly number[];
  /** Proofs that this process remembers at most. */
  readonly remembered: number;
  /** A Redis or Valkey that remembers them for several agents; undefined where this process does. */
  readonly store: StoreConfig | undefined;
}

/** A Redis or Valkey that agents share, and how long they wait for its answer. */
export interface StoreConfig {
  /** With user and password where it wants them. Secret. */
  readonly url: string;
  readonly timeout: number;
  /** PEM text of the certificate authorities to trust instead of those that Node brings. */
  readonly ca?: string | undefined;
}

/** What the generator of haproxy.cfg needs to know. */
export interface HaproxyConfig {
  readonly version: string;
  readonly identityPrefix: string;
  readonly bind: readonly string[];
  readonly client: {
    readonly from: "connection" | "proxy-protocol" | "x-forwarded-for";
    readonly trusted: readonly string[];
  };
  readonly scheme: "http" | "https";
  /** What HAProxy's access log tells of a principal beside its subject. */
  readonly accessLog: readonly ("issuer" | "kind" | "client" | "actor")[];
  /** Bytes of the largest body that it keeps to be looked into. */
  readonly largestBody: number;
  /** The agents that it asks. */
  readonly agents: {
    /** The first address of each, as HAProxy writes it; undefined for those of `listen.spop`. */
    readonly servers: readonly string[] | undefined;
    /** Undefined for plain text. */
    readonly tls: BackendTls | undefined;
  };
  /** By name; those that the reader's own haproxy.cfg has are without servers. */
  readonly backends: Readonly<Record<string, Omit<Backend, "name">>>;
}

/** A Linkerd mesh. */
export interface MeshConfig {
  readonly trustDomain: string;
  /** The namespace of the control plane. */
  readonly controlPlane: string;
  /** HAProxy's own identity: `ACCOUNT.NAMESPACE`, the whole name, or a SPIFFE id. */
  readonly identity: string;
}

/** The signed identity assertion. */
export interface AssertionConfig {
  /** Its `iss`. */
  readonly issuer: string;
  readonly lifetime: number;
  /** Which of the claims it has that are lists of any length. */
  readonly claims: readonly ("groups" | "roles" | "scopes" | "act")[];
  /** Absolute path of the key ring. */
  readonly keys: string;
  /** Its keys, the oldest first. Secret. */
  readonly ring: readonly RingKey[];
}

/** What the sessions of all issuers that people log in at have in common. */
export interface SessionsConfig {
  /** Where browsers find what HAProxy protects, such as `https://app.example.com`: nobody logs in elsewhere. */
  readonly origins: readonly string[];
  /** Name of the session's cookie; those beside it have longer ones. */
  readonly cookie: string;
  /** Absolute path of the key ring. */
  readonly keys: string;
  /** Its keys, the oldest first. Secret. */
  readonly ring: readonly SealingKey[];
  /** A session ends when it was not seen for so long, and in any case so long after its login. */
  readonly idle: number;
  readonly lifetime: number;
  /** Where they are kept, and browsers have nothing but their ids; undefined where browsers keep them. */
  readonly store?: StoreConfig | undefined;
  /** How the pages for people look; undefined for the agent's own style. */
  readonly style?: string | undefined;
  /** Characters of a whole cookie, with what stands beside it: what HAProxy tells of it must be within `limits.token`. */
  readonly largest: number;
}

/** A claim's path, as a dotted text or a list of names. */
export type WrittenPath = string | readonly string[];

/** Where a claim stands: at a path; as the keys of the mapping there; or at the first place that has one. */
export type ClaimPlace = ClaimSource | { readonly first: readonly ClaimSource[] };
export type ClaimSource = WrittenPath | { readonly keysOf: WrittenPath };

/** A claim, and what it has to be, or one of what it may be. */
export interface WantedClaim {
  readonly path: string;
  readonly wanted: WantedValue | readonly WantedValue[];
}
export type WantedValue = WantedEntry | { readonly present: boolean };

/** One way of telling a kind by the form of a token: all of these claims must be so. */
export interface KindRule {
  readonly kind: Kind;
  readonly claims: readonly WantedClaim[];
}

/** What an issuer is, whatever its type; a type adds its own. Plain data. */
export interface IssuerConfig {
  readonly name: string;
  readonly type: string;
  /** What tells its credentials from all others', as for people: of JWTs the `iss`, byte for byte. Each has its own. */
  readonly issuer: string;
  /** How else it is written. */
  readonly aliases?: readonly string[];
  /** Names of the kinds of credentials that it takes. */
  readonly credentials: readonly CredentialName[];
  /** Networks of the hops whose word counts, by the request header that they put a credential into. */
  readonly hops?: Readonly<Record<string, readonly string[]>>;
  /** Names of the proofs beside them that it may ask for. Default: none. */
  readonly proofs?: readonly string[];
  /**
   * What its credentials begin with, where that tells them from all others': `owns` of no other issuer is asked about
   * one. Empty text: it has whatever is neither a JWT nor another's. Undefined where `owns` alone tells them.
   */
  readonly prefixes?: readonly string[];
  /** Milliseconds for which a credential of its that has come could come again, where each counts but once. */
  readonly countsOnceFor?: number;
  /** Trust domains of the SPIFFE ids that it proves. Default: none. */
  readonly trustDomains?: readonly string[];
  /** What tells its credentials from all others', where that is not `issuer`, by the key of its section that says it. */
  readonly marks?: Readonly<Record<string, readonly string[]>>;
  /** Whom its credentials can be meant for, and what its principals can be; undefined where only claims tell. */
  readonly audiences: readonly string[];
  readonly kinds: readonly Kind[] | undefined;
  /** Where the ARNs of its principals can be of; undefined where they have none. */
  readonly arns?: Arns;
  /** Claims of its principals that these have chosen themselves. Default: none. */
  readonly labels?: readonly string[];
}

/** Ways in which the sender of a token can prove to have the key that it is bound to (RFC 7800). */
export type ProofName = "dpop" | "certificate";

/** How an issuer's tokens may be bound to a key. */
export interface BindingConfig {
  /** What is taken as proof; a token that is bound otherwise is refused. */
  readonly proofs: readonly ProofName[];
  /** What is done with a token that is bound to nothing. */
  readonly unbound: "accept" | "refuse";
}

/** An issuer whose principals are described by claims. */
export interface ClaimsIssuer extends IssuerConfig, BindingConfig {
  readonly proofs: BindingConfig["proofs"];
  /** Where its claims stand. */
  readonly claims: {
    readonly subject: ClaimPlace;
    readonly groups: ClaimPlace;
    readonly scopes: ClaimPlace;
    readonly kind: ClaimPlace | undefined;
    readonly client: ClaimPlace | undefined;
    /** Whom a credential is meant for. */
    readonly audience: ClaimPlace;
  };
  /** What else of its claims a credential must have. */
  readonly require: readonly WantedClaim[];
  /** What a principal is where neither a claim nor a rule says it. */
  readonly kind: Kind;
  readonly kindRules: readonly KindRule[];
  readonly clockTolerance: number;
}

/** Whether an issuer's principals are described by claims. */
export function hasClaims(issuer: IssuerConfig): issuer is ClaimsIssuer {
  return "claims" in issuer;
}

/** All that an issuer is called by its credentials. */
export function spellingsOf({ issuer, aliases = [] }: Pick<IssuerConfig, "issuer" | "aliases">): readonly string[] {
  return [issuer, ...aliases];
}
