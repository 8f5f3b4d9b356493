import type { Kind } from "../policies/principal.ts";

/** A TCP address, or a unix socket with the mode of its file. */
export type Address =
  | { readonly host: string; readonly port: number }
  | { readonly path: string; readonly mode: number };

/** The agent's configuration, checked and with all defaults filled in. Durations are milliseconds, sizes bytes. */
export interface Config {
  /** Absolute path of the file it was read from. */
  readonly file: string;
  readonly listen: { readonly spop: readonly Address[]; readonly admin: Address | undefined };
  /** Processes that answer HAProxy, each at addresses of its own; one answers in the agent's first process. */
  readonly workers: number;
  /** Absolute paths of files and directories. */
  readonly policies: readonly string[];
  readonly issuers: readonly OidcIssuer[];
  readonly haproxy: HaproxyConfig;
  /** Time for the agent's own answer; HAProxy waits 100 ms longer. */
  readonly deadline: number;
  readonly cache: { readonly identities: number; readonly lifetime: number; readonly refusals: number };
  readonly limits: {
    readonly token: number;
    readonly connections: number;
    readonly inFlight: number;
    readonly fetches: number;
  };
  readonly log: {
    readonly level: "debug" | "info" | "warn" | "error";
    readonly decisions: "all" | "refused";
    readonly destination: "stdout" | "stderr";
  };
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
  readonly backends: Readonly<Record<string, readonly string[]>>;
}

/** An OpenID Connect provider whose JWT access tokens are verified by its published keys. */
export interface OidcIssuer {
  readonly name: string;
  readonly type: "oidc";
  /** The tokens' `iss`, byte for byte. */
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  /** Claim names or dotted paths. */
  readonly claims: {
    readonly subject: string;
    readonly groups: string;
    readonly scopes: string;
    readonly kind: string | undefined;
    readonly client: string | undefined;
  };
  readonly kind: Kind;
  readonly tokenTypes: readonly string[];
  /** Whether an ID token counts as an access token. */
  readonly idTokens: "refuse" | "accept";
  readonly clockTolerance: number;
  readonly keys: {
    readonly refresh: number;
    readonly cooldown: number;
    readonly maxStale: number;
    readonly maxSize: number;
  };
  /** PEM text of the certificate authorities to trust instead of the system's. */
  readonly ca: string | undefined;
}
