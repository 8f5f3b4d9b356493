/** A way in which a request can say who sends it. */
export interface CredentialKind {
  /** As issuers name it. */
  readonly name: string;
  /** Name of the argument that carries it; kinds told apart by their scheme share one. */
  readonly argument: string;
  /** HAProxy's sample expression for it. */
  readonly sample: string;
  /** Type of the sample's value; what comes with another one is not looked at. Default: `string` */
  readonly type?: "string" | "binary";
  /** What HAProxy says of it in other arguments: without all of this the value is no credential. */
  readonly conditions?: readonly Condition[];
  /** `always`, or when an issuer of the policies takes it. The same holds for the rules about it. */
  readonly sent: "always" | "where an issuer takes it";
  /** One line for the documentation. */
  readonly meaning: string;
  /** Counts how often it came, where it can come more than once: two of one kind are a 400. */
  readonly count?: string;
  /** The action that keeps it from a backend, where it could come there. */
  readonly strip?: string;
  /** Request headers that it stands in, in lower case: no policy sets them, and no expression reads them. */
  readonly headers: readonly string[];
  /**
   * The authentication scheme (RFC 9110, section 11.1) that its value begins with, and that a refusal challenges with.
   * Without one the value is the credential, and there is nothing to challenge with.
   */
  readonly scheme?: string;
}

/** An argument beside a credential's that says whether it counts. */
export interface Condition {
  readonly argument: string;
  /** A bool or an integer. */
  readonly sample: string;
  readonly meaning: string;
  /** What it must be. */
  readonly value: true | 0;
  /** What the request offers where it is not that: nothing, or a credential that is refused. */
  readonly otherwise: "none" | "malformed";
}

/**
 * All kinds of credentials, the explicit before the ambient: of those that a request offers the first is taken, and the
 * others are not looked at. A row is all that HAProxy's files, the request reader, the channel and the challenge need.
 */
const ROWS = [
  {
    name: "bearer",
    argument: "authorization",
    sample: "req.fhdr(authorization)",
    sent: "always",
    meaning: "the Authorization header",
    count: "req.fhdr_cnt(authorization)",
    strip: "del-header authorization",
    headers: ["authorization"],
    scheme: "Bearer",
  },
] as const satisfies readonly CredentialKind[];

export type CredentialName = (typeof ROWS)[number]["name"];

export const CREDENTIAL_KINDS: readonly (CredentialKind & { readonly name: CredentialName })[] = ROWS;

/** What `forward` says where no credential was read: the backend gets all of them. */
export const ALL_CREDENTIALS = "all";

/** The kinds that HAProxy is rendered for. @param taken names of those that issuers take */
export function sentKinds(taken: readonly string[]): readonly CredentialKind[] {
  return CREDENTIAL_KINDS.filter(({ name, sent }) => sent === "always" || taken.includes(name));
}

/** The row of this name; undefined where there is none. */
export function credentialKind(name: string): CredentialKind | undefined {
  return CREDENTIAL_KINDS.find((kind) => kind.name === name);
}
