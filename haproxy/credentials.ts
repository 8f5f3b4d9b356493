import { type PlaceName, placedKind } from "./places.ts";
import { OWN } from "./variables.ts";

/** A way in which a request can say who sends it. */
export interface CredentialKind {
  /** As issuers name it. */
  readonly name: string;
  /** How much it is said on purpose: of two that a request offers, the one whose word comes first in RANKS is taken. */
  readonly rank: (typeof RANKS)[number];
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
  /** Of its value, arguments that belong to it; any of them may be absent. */
  readonly parts?: readonly Part[];
  /** Names of arguments that are always sent with it: it may be a signature of what they hold. */
  readonly signs?: readonly "query"[];
  /** One line for the documentation. */
  readonly meaning: string;
  /** Counts how often it came, where it can come more than once: two of one kind are a 400. */
  readonly count?: string | readonly string[];
  /** Criteria by which two readers may take two things for it, or which it came twice by: a 400 as well. */
  readonly ambiguous?: readonly string[];
  /** What keeps it from a backend, where it could come there. */
  readonly strip?: readonly Strip[];
  /** Request headers that it stands in, in lower case: no policy sets them, and no expression reads them. */
  readonly headers: readonly string[];
  /** The one of them that counts only from the hop before HAProxy, whose networks the configuration names. */
  readonly hop?: string;
  /**
   * The authentication scheme (RFC 9110, section 11.1) that its value begins with, and that a refusal challenges with.
   * Without one the value is the credential, and there is nothing to challenge with.
   */
  readonly scheme?: string;
  /** Name of the argument whose credential it goes with to a backend, where it is no credential itself but its proof. */
  readonly proves?: string;
  /** What the one member begins with, before a dot, that is the credential in a list with commas. */
  readonly member?: string;
  /** Largest value in bytes of one that is no part of a request's head; HAProxy sends at most one byte more. */
  readonly largest?: number;
  /** As issuers name it where it is the proof of another credential (RFC 7800): then it is sent, too. */
  readonly proof?: string;
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

/** An argument beside a credential's that holds a part of it. */
export interface Part {
  readonly argument: string;
  readonly sample: string;
  readonly meaning: string;
}

/** An action of HAProxy's on an allowed request, and when it is done; default: always. */
export interface Strip {
  readonly action: string;
  readonly condition?: string;
}

/** What kinds of credentials are read: names of kinds that issuers take, and of proofs that they ask for. */
export interface CredentialUses {
  readonly credentials: readonly string[];
  /** Default: none. */
  readonly proofs?: readonly string[];
}

/** Bytes of a client's certificate at most. Those of RSA with 4096 bits have some 2,000, those of P-256 less than 1,000. */
export const LARGEST_CERTIFICATE = 4096;

/**
 * The explicit before the ambient: what a client's program puts into a request, then what its browser, a hop or its
 * connection adds to all of them. Of two ranks the first is taken, and the other one is not looked at; two kinds of one
 * rank leave open who is meant, and are a 400.
 */
export const RANKS = [
  "authorization",
  "header",
  "signature",
  "subprotocol",
  "hop",
  "cookie",
  "certificate",
  "mesh",
] as const;

/** What a program of its own puts into a request. All others a browser adds, or lets any page's script add. */
const EXPLICIT: readonly string[] = ["authorization", "header", "signature"];

/** Whether a browser may send such a credential for a page of any origin. */
export function isAmbient(name: string): boolean {
  const kind = credentialKind(name);
  return kind !== undefined && !EXPLICIT.includes(kind.rank);
}

/** All kinds of credentials whose place is always the same; places.ts has those that the configuration places. */
const ROWS = [
  {
    name: "bearer",
    rank: "authorization",
    argument: "authorization",
    sample: "req.fhdr(authorization)",
    sent: "always",
    meaning: "the Authorization header",
    count: "req.fhdr_cnt(authorization)",
    strip: [{ action: "del-header authorization" }],
    headers: ["authorization"],
    scheme: "Bearer",
  },
  {
    name: "dpop",
    rank: "authorization",
    argument: "authorization",
    sample: "req.fhdr(authorization)",
    sent: "always",
    meaning: "the Authorization header",
    count: "req.fhdr_cnt(authorization)",
    strip: [{ action: "del-header authorization" }],
    headers: ["authorization"],
    scheme: "DPoP",
  },
  {
    name: "dpop-proof",
    rank: "authorization",
    proof: "dpop",
    proves: "authorization",
    argument: "dpop",
    sample: "req.fhdr(dpop)",
    sent: "where an issuer takes it",
    meaning: "the DPoP header: the proof that a token is its sender's",
    count: "req.fhdr_cnt(dpop)",
    strip: [{ action: "del-header dpop" }],
    headers: ["dpop"],
  },
  {
    name: "signature",
    rank: "signature",
    argument: "signature",
    sample: "req.fhdr(signature)",
    parts: [
      {
        argument: "signature_input",
        sample: "req.fhdr(signature-input)",
        meaning: "the Signature-Input header: what the signatures are of",
      },
      {
        argument: "signature_agent",
        sample: "req.fhdr(signature-agent)",
        meaning: "the Signature-Agent header: where the keys of who has signed are",
      },
    ],
    signs: ["query"],
    sent: "where an issuer takes it",
    meaning: "the Signature header: signatures of the request (RFC 9421)",
    count: ["req.fhdr_cnt(signature)", "req.fhdr_cnt(signature-input)", "req.fhdr_cnt(signature-agent)"],
    strip: [
      { action: "del-header signature" },
      { action: "del-header signature-input" },
      { action: "del-header signature-agent" },
    ],
    headers: ["signature", "signature-input", "signature-agent"],
  },
  {
    name: "client-certificate",
    rank: "certificate",
    argument: "cert",
    sample: `ssl_c_der,bytes(0,${LARGEST_CERTIFICATE + 1})`,
    type: "binary",
    conditions: [
      {
        argument: "cert_used",
        // Not ssl_fc_has_crt: that is false in a session that was resumed.
        sample: "ssl_c_used",
        meaning: "whether the client has shown a certificate, in this TLS session or the one that it resumes",
        value: true,
        otherwise: "none",
      },
      {
        argument: "cert_verify",
        // Not ssl_c_err: that is 0 in a session that was resumed.
        sample: "ssl_c_verify",
        meaning: "what HAProxy has against the certificate, 0 for nothing; without a certificate, too",
        value: 0,
        otherwise: "malformed",
      },
    ],
    sent: "where an issuer takes it",
    meaning: "the client's certificate in the TLS handshake, DER",
    headers: [],
    largest: LARGEST_CERTIFICATE,
    proof: "certificate",
  },
  {
    name: "mesh",
    rank: "mesh",
    argument: "mesh",
    // Not the header: whoever does not come from the proxy in HAProxy's pod has not said it (mesh-bind.ts).
    sample: `var(${OWN.meshed})`,
    sent: "where an issuer takes it",
    meaning:
      "the mesh identity of a client, as the Linkerd proxy in HAProxy's pod has told it on the bind for meshed ones",
    count: "req.fhdr_cnt(l5d-client-id)",
    headers: ["l5d-client-id"],
    largest: 253,
  },
] as const satisfies readonly CredentialKind[];

/** Of a row, or of a place with its name there: `header:x-api-key`. */
export type CredentialName = (typeof ROWS)[number]["name"] | `${PlaceName}:${string}`;

export const CREDENTIAL_KINDS: readonly (CredentialKind & { readonly name: CredentialName })[] = ROWS;

/** What `forward` says where no credential was read: the backend gets all of them. */
export const ALL_CREDENTIALS = "all";

/** The kind of this name; undefined where there is none. */
export function credentialKind(name: string): CredentialKind | undefined {
  return CREDENTIAL_KINDS.find((kind) => kind.name === name) ?? placedKind(name);
}

/** The kinds of these names, those first that are taken before others. Names of none are left out. */
export function kindsOf(names: readonly string[]): readonly CredentialKind[] {
  const kinds = [...new Set(names)].flatMap((name) => credentialKind(name) ?? []);
  const order = CREDENTIAL_KINDS.map(({ name }) => name as string);
  const place = ({ name }: CredentialKind) => order.indexOf(name);
  return kinds.sort(
    (a, b) => RANKS.indexOf(a.rank) - RANKS.indexOf(b.rank) || place(a) - place(b) || (a.name < b.name ? -1 : 1),
  );
}

/** The kinds that HAProxy is rendered for. */
export function sentKinds({ credentials, proofs = [] }: CredentialUses): readonly CredentialKind[] {
  const also = CREDENTIAL_KINDS.filter(
    ({ sent, proof }) => sent === "always" || (proof !== undefined && proofs.includes(proof)),
  );
  return kindsOf([...also.map(({ name }) => name), ...credentials]);
}
