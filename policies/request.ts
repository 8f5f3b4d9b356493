import type { Reason } from "./decision.ts";

/** What a request says to an MCP server (Model Context Protocol). */
export interface McpMessage {
  /** The JSON-RPC method; undefined of what has none: a response, or a request without a body. */
  readonly method: string | undefined;
  /** Of `tools/call`. */
  readonly tool: string | undefined;
  /** What it was told by. */
  readonly by: "body" | "headers";
}

/** What a policy may know of a request. Path and host are as judged, and as forwarded: nobody rewrites them in between. */
export interface PolicyRequest {
  readonly method: string;
  /** Lower case, without port; already known to be a host name or an address literal. */
  readonly host: string;
  /** The raw path as HAProxy forwards it, without query. */
  readonly path: string;
  /** The raw query without `?`; empty when there is none or HAProxy does not send it. */
  readonly query: string;
  /** Textual client address. */
  readonly src: string;
  /** Whether the client came over TLS. */
  readonly tls: boolean;
  /** The request headers that policies read, by lower-case name; an absent header has no entry. */
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** What it says to an MCP server, or why that cannot be told. Only routes with `mcp` ask. */
  readonly mcp?: McpMessage | Reason | undefined;
}
