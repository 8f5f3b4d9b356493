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
}
