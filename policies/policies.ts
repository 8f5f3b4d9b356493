import type { Decision, Reason } from "./decision.ts";
import type { StepUp } from "./judging/step-up.ts";
import type { Principal } from "./principal.ts";
import type { PolicyRequest } from "./request.ts";
import type { Resource } from "./resource.ts";
import type { PathLeniency } from "./routing/path.ts";
import type { Pattern } from "./routing/pattern.ts";

/** What has to come from HAProxy, and go to it, for a route or for a whole set of policies. */
export interface Uses {
  readonly query: boolean;
  /** Lower-case names of the request headers that conditions read. */
  readonly requestHeaders: readonly string[];
  /** Identity headers for the backend with the largest value of each in bytes, sorted by name. */
  readonly identityHeaders: readonly { readonly name: string; readonly max: number }[];
  /** Names of the claims that conditions, headers and roles read; `*` where that is only known for each request. */
  readonly claims: readonly string[];
  /** Names of the kinds of credentials that are read: those that issuers take, sorted. */
  readonly credentials: readonly string[];
  /** Names of the proofs that are read beside them: those that issuers ask for, sorted. */
  readonly proofs: readonly string[];
  /** Where bodies are read; absent where none are. */
  readonly bodies?: readonly BodyPlace[];
}

/** Where HAProxy has to read bodies before it asks: more requests than are meant, never fewer of plain paths. */
export interface BodyPlace {
  /** As the policy writes them. */
  readonly hosts: readonly string[];
  readonly methods: readonly string[];
  /** The whole path, or what it begins with. */
  readonly path: string;
  readonly whole: boolean;
  /** What a path ends in that is not given whole; empty where that may be anything. */
  readonly end: string;
}

/** Routes that have their hosts, issuers and defaults in common: who may do what there. */
export interface Service {
  readonly name: string;
  /** As the policy writes them. */
  readonly hosts: readonly string[];
  /** Names of the issuers whose principals it takes. */
  readonly issuers: ReadonlySet<string>;
  /** Audiences of which a credential must carry one; empty where its issuers have but one each. */
  readonly audiences: readonly string[];
  /** What it lets pass of the paths that are refused as ambiguous by default. */
  readonly leniency: PathLeniency;
  /** CORS preflights pass without being judged. */
  readonly preflight: boolean;
  /** Whose pages may call it; undefined where no other origin's are meant to. */
  readonly cors: Cors | undefined;
  readonly mesh: Mesh | undefined;
  readonly routes: readonly Route[];
}

/** What pages of other origins may do (the Fetch standard, "CORS protocol"). */
export interface Cors {
  /** As browsers write them, `https://app.example.com`; `any` for all but `null`. */
  readonly origins: readonly string[] | "any";
  /** Request headers beside those of credentials, in lower case. */
  readonly headers: readonly string[];
  /** Headers of answers that pages may read beside those of refusals, in lower case. */
  readonly expose: readonly string[];
  /** Whether they may be asked for with what the browser adds by itself. */
  readonly credentials: boolean;
  /** Seconds for which a browser need not ask again. */
  readonly maxAge: number;
}

/** The meshed Service behind a backend: where whatever routes lead to that backend ends up. */
export interface Mesh {
  /** The HAProxy backend. */
  readonly backend: string;
  readonly service: string;
  readonly namespace: string;
  /** A name or number that the pods' containers declare. */
  readonly port: string | number;
  /** Labels of the pods. */
  readonly pods: Readonly<Record<string, string>>;
  /** The pods' mesh identity: `ACCOUNT.NAMESPACE`, the whole name, or a SPIFFE id. */
  readonly identity: string;
  readonly protocol: "HTTP/1" | "HTTP/2" | "opaque";
  /** Only what routes lead there may pass in the mesh. */
  readonly routes: boolean;
  /** Networks that the pods are probed from. */
  readonly probes: readonly string[];
  /** Mesh identities that may call the pods beside HAProxy's. */
  readonly also: readonly string[];
}

/** A token that its issuer gives for the client's own (RFC 8693), for a backend that wants one. */
export interface UpstreamToken {
  /** Name of the issuer, of the configuration. */
  readonly exchange: string;
  /** Whom it is for, as that issuer calls it. */
  readonly audience: string;
  /** What it is asked to be good for; none for what the issuer gives by itself. Sorted. */
  readonly scopes: readonly string[];
  /** The same for whatever wants the same. */
  readonly key: string;
}

export interface Route {
  readonly name: string;
  /** `service/route` */
  readonly rule: string;
  readonly service: Service;
  /** The requests that it takes, where no more specific pattern of its hosts takes them; in the order of the policy. */
  readonly patterns: readonly Pattern[];
  /** The HAProxy backend. */
  readonly backend: string;
  /** `anyone`: the credential is not read. `optional`: without one the request passes as anonymous. */
  readonly access: "anyone" | "optional" | "required";
  /** The backend gets the credential too. */
  readonly forwardCredential: boolean;
  /** What the backend gets in place of the client's token; undefined where it gets none. */
  readonly upstreamToken: UpstreamToken | undefined;
  readonly needs: Uses;
  /** What its clients are told of where to get a token; undefined where nothing says it, and where none is read. */
  readonly resource: Resource | undefined;
  /** What it asks of who comes, in words: roles of which one is enough, roles that are refused, scopes, its condition, the login. */
  readonly asks: {
    readonly allow: readonly string[];
    readonly deny: readonly string[];
    readonly scopes: readonly string[];
    readonly when: string | undefined;
    /** What may be sent to an MCP server there; absent where nothing is said of that. */
    readonly mcp?: string;
    readonly stepUp: StepUp | undefined;
  };
}

/** Where a request leads, whoever sent it. */
export interface Match {
  readonly route: Route;
  /** Captures of the pattern, percent-decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** Lower case, without port. */
  readonly host: string;
  /** A CORS preflight that passes without being judged. */
  readonly preflight: boolean;
}

/** A request that leads nowhere. */
export interface Refusal {
  readonly reason: Reason;
  /** The one service that it can be about; empty where there is none, or where several share the host. */
  readonly rule: string;
}

/** A compiled set of policy files. It is immutable, and does no I/O. */
export interface Policies {
  /** Short digest of the files' content. */
  readonly revision: string;
  readonly services: readonly Service[];
  /** The union over all routes. */
  readonly uses: Uses;
  /**
   * Finds the route of a request; no credential is needed for it.
   *
   * @param host as the client sent it
   * @param path raw, without query
   * @param headers the request headers that policies read, by lower-case name
   */
  match(host: string, method: string, path: string, headers: Readonly<Record<string, string>>): Match | Refusal;
  /**
   * Judges who may. Whatever cannot be told is a deny; nothing is thrown for what a policy or request holds.
   *
   * @param principal `undefined` when no credential was presented, or none is read
   */
  decide(match: Match, principal: Principal | undefined, request: PolicyRequest): Decision;
}
