/** What manifests are rendered from; plain data, so that this room needs to know neither configuration nor policies. */
export interface LinkerdInput {
  /** Of the policies. */
  readonly revision: string;
  readonly mesh: {
    readonly trustDomain: string;
    /** The namespace of the control plane. */
    readonly controlPlane: string;
    /** HAProxy's identity: `ACCOUNT.NAMESPACE`, the whole name, or a SPIFFE id. */
    readonly identity: string;
  };
  readonly services: readonly ServiceInput[];
  /** HAProxy's own pods, where meshed clients come to them. Default: none do */
  readonly ingress?: IngressInput | undefined;
}

export interface IngressInput {
  readonly port: number;
  /** Labels of the pods. */
  readonly pods: Readonly<Record<string, string>>;
  /** Those whose service accounts may come; empty for all. */
  readonly namespaces: readonly string[];
}

export interface ServiceInput {
  readonly name: string;
  readonly hosts: readonly string[];
  /** What it lets pass of the paths that are refused as ambiguous by default. */
  readonly leniency: Readonly<Record<"encodedSlash" | "emptySegments" | "parameters", boolean>> &
    Readonly<Record<"encodedUnreserved" | "encodedPercent" | "brackets", boolean>>;
  /** OPTIONS passes where the method that it asks about has a route. */
  readonly preflight: boolean;
  /** The meshed Service behind its backend. */
  readonly mesh: MeshInput | undefined;
  readonly routes: readonly RouteInput[];
}

export interface MeshInput {
  /** The HAProxy backend; of all services one has its mesh. */
  readonly backend: string;
  readonly service: string;
  readonly namespace: string;
  readonly port: string | number;
  /** Labels of the pods. */
  readonly pods: Readonly<Record<string, string>>;
  readonly identity: string;
  readonly protocol: "HTTP/1" | "HTTP/2" | "opaque";
  /** Only what routes lead there passes. */
  readonly routes: boolean;
  /** Networks that the pods are probed from. */
  readonly probes: readonly string[];
  /** Identities that may call the pods beside HAProxy's. */
  readonly also: readonly string[];
}

export interface RouteInput {
  /** `service/route` */
  readonly rule: string;
  readonly backend: string;
  /** `anyone`: no credential is read. */
  readonly access: "anyone" | "optional" | "required";
  readonly patterns: readonly Pattern[];
  /** In words, for the report: roles of which one is enough, roles that are refused, scopes, the condition. */
  readonly asks: {
    readonly allow: readonly string[];
    readonly deny: readonly string[];
    readonly scopes: readonly string[];
    readonly when: string | undefined;
    /** What may be sent to an MCP server; absent where nothing is said of that. */
    readonly mcp?: string;
  };
}

/** Which requests a route takes. Of several that take a request the most specific one wins; none conflict. */
export interface Pattern {
  /** As the policy writes it. */
  readonly text: string;
  /** GET stands for HEAD too; `undefined`: any method. */
  readonly methods: readonly string[] | undefined;
  /** `/` has one empty literal, and so ends every pattern that ends in `/`. */
  readonly segments: readonly Segment[];
}

export type Segment =
  /** Percent-decoded. */
  | { readonly kind: "literal"; readonly value: string }
  /** One segment that is not empty; an RE2 expression must match the whole of it, percent-decoded. */
  | { readonly kind: "one"; readonly expression: Expression | undefined }
  /** All that is left, possibly nothing; always last. */
  | { readonly kind: "rest" };

export interface Expression {
  readonly text: string;
  matches(segment: string): boolean;
}
