import type { WantedEntry, WantedText } from "../judging/wanted.ts";
import type { Kind } from "../principal.ts";
import type { WantedUri } from "../spiffe-id.ts";

/** A policy file that its schema (policy-file.schema.json) has passed. Roles and services may be spread over many files. */
export interface PolicyFile {
  readonly roles?: Readonly<Record<string, readonly BindingEntry[]>>;
  readonly services?: Readonly<Record<string, ServiceEntry>>;
}

/** One way of having a role: all keys that are there must hold. */
export interface BindingEntry {
  readonly issuer?: string;
  readonly subject?: string | WantedText;
  readonly group?: string | WantedText;
  readonly scope?: string | WantedText;
  readonly kind?: Kind;
  readonly client?: string | WantedText;
  readonly actor?: string | WantedText | WantedActor;
  readonly arn?: string;
  readonly account?: string;
  readonly permission_set?: string;
  readonly uri?: WantedUri;
  /** By dotted path; or a list, for paths whose names hold dots. */
  readonly claim?:
    | Readonly<Record<string, WantedEntry>>
    | readonly { readonly path: string | readonly string[]; readonly value: WantedEntry }[];
  readonly role?: string;
  /** RFC 3339. */
  readonly until?: string;
}

/** Who acts for the principal now: all keys that are there must hold. */
export interface WantedActor {
  readonly subject?: string | WantedText;
  /** The `iss` that its token gives it: a URL, or whatever else that issuer is called. */
  readonly issuer?: string;
  readonly kind?: Kind;
}

/** What a route, its service or its shadow may say of who may pass. */
export interface RuleEntry {
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  readonly scopes?: readonly (string | { readonly equals: string })[];
  readonly when?: string;
  readonly step_up?: { readonly acr?: string | readonly string[]; readonly max_age?: string };
}

export type HeaderEntries = Readonly<Record<string, string | { readonly value: string; readonly max?: number }>>;

export interface ServiceEntry extends Omit<RuleEntry, "scopes" | "step_up"> {
  readonly hosts: readonly string[];
  readonly issuers?: readonly string[];
  readonly audiences?: readonly string[];
  /** For routes without one of their own. */
  readonly backend?: string;
  readonly mesh?: MeshEntry;
  readonly resource?: ResourceEntry;
  readonly preflight?: "allow";
  readonly cors?: CorsEntry;
  readonly paths?: {
    readonly encoded_slash?: "opaque";
    readonly empty_segments?: "allow";
    readonly parameters?: "allow";
    readonly encoded_unreserved?: "allow";
    readonly encoded_percent?: "allow";
    readonly brackets?: "allow";
  };
  readonly headers?: HeaderEntries;
  readonly forward_credential?: boolean;
  readonly upstream_token?: UpstreamTokenEntry;
  readonly routes: readonly RouteEntry[];
}

/** What pages of other origins may do. */
export interface CorsEntry {
  readonly origins: readonly string[];
  readonly headers?: readonly string[];
  readonly expose?: readonly string[];
  readonly credentials?: boolean;
  /** `10m` */
  readonly max_age?: string;
}

/** The meshed Service behind a service's backend. */
export interface MeshEntry {
  readonly service: string;
  readonly namespace: string;
  readonly port: string | number;
  readonly pods: Readonly<Record<string, string>>;
  readonly identity: string;
  readonly protocol?: "HTTP/1" | "HTTP/2" | "opaque";
  readonly routes?: boolean;
  readonly probes?: readonly string[];
  readonly also?: readonly string[];
}

/** What may be sent to an MCP server. */
export interface McpEntry {
  /** Of JSON-RPC; `NAME/*` for all that begin so. Default: all */
  readonly methods?: readonly string[];
  /** By name; `*` for all others. Default: all */
  readonly tools?: Readonly<Record<string, ToolEntry | null>>;
  /** The backend refuses a body that is not what its headers say, from protocol version 2026-07-28 on. */
  readonly headers?: "enforced";
}

export interface ToolEntry extends Pick<RuleEntry, "allow" | "scopes"> {
  /** The tool's name once more, where it has a sign to which other tools give a meaning. */
  readonly equals?: string;
}

/** What OAuth clients are told of an API (RFC 9728). */
export interface ResourceEntry {
  readonly url: string;
  /** Names of issuers, or URLs. */
  readonly authorization_servers?: readonly string[];
  readonly audience?: string;
  readonly scopes?: readonly string[];
  readonly name?: string;
  readonly documentation?: string;
}

/** The token that a backend gets in place of the client's. */
export interface UpstreamTokenEntry {
  /** Name of the issuer that gives it for one of its own. */
  readonly exchange: string;
  readonly audience: string;
  readonly scopes?: readonly string[];
}

export interface RouteEntry extends RuleEntry {
  readonly name: string;
  readonly match: readonly string[];
  readonly backend?: string;
  readonly optional?: boolean;
  readonly resource?: ResourceEntry;
  readonly headers?: HeaderEntries;
  readonly forward_credential?: boolean;
  readonly upstream_token?: UpstreamTokenEntry;
  readonly shadow?: RuleEntry;
  readonly mcp?: McpEntry;
}
