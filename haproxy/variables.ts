/** First part of every variable's name in HAProxy, `txn.countersign.verdict`; the SPOE file's `var-prefix`. */
export const VARIABLE_PREFIX = "countersign";

/** HAProxy's own variables. No agent can set them: the names of those it sets begin with the prefix and a dot. */
export const OWN = {
  /** The request's id: 32 hexadecimal digits. `unique-id` would be whatever a `unique-id-format` elsewhere says. */
  id: "txn.countersign_id",
  /** The path that is judged, as far as it is logged. */
  path: "txn.countersign_path",
  /** Set once a request has been found fit to be judged. */
  fit: "txn.countersign_fit",
  websocket: "txn.countersign_websocket",
  /** Which of the rules for pages of other origins hold for the host; absent where there are none. */
  cors: "txn.countersign_cors",
  /** The origin of the page that asks, where those rules take it. */
  origin: "txn.countersign_origin",
  /** Set where bodies are looked into. */
  reads: "txn.countersign_reads",
  /** As much of the body as fits into a buffer; set only there. */
  body: "txn.countersign_body",
  /** The address that a request has reached on the bind for meshed clients. */
  reached: "txn.countersign_reached",
  /** Set where it came there from the proxy in the same pod. */
  sidecar: "txn.countersign_sidecar",
  /** Who its client is, by that proxy. */
  meshed: "txn.countersign_meshed",
  /** Set for one of the agent's own pages. */
  web: "txn.countersign_web",
  /** How much of a form for one of them is there. */
  form: "txn.countersign_form",
  /** Set for a request by which somebody's browser wants to show a page, where a login could help. */
  navigation: "txn.countersign_navigation",
  /** What stands behind the login's path for a login that is asked for anew; absent for any other. */
  step: "txn.countersign_step",
  /** `allow`, `none` for one of the agent's own pages and for what HAProxy answers by itself, or absent: by `allow` alone HAProxy remembers that a request may pass. */
  verdict: "txn.countersign_verdict",
} as const;

/** When the agent sets a variable: in every answer, where the answer has such a value, or where the contract names it too. */
export type Presence =
  | "always"
  | "when there is one"
  | "named by the contract"
  | "named by the contract, when there is one";

export interface Variable {
  readonly present: Presence;
  /** One line for the documentation. */
  readonly meaning: string;
  /** The request header that HAProxy sets from it, in lower case, and its largest value in bytes. */
  readonly header?: { readonly name: string; readonly max: number };
}

/** What the agent answers. All of it lives in HAProxy's `txn` scope, so that it ends with the request it is about. */
export const VARIABLES = {
  id: { present: "always", meaning: "the request's id, sent back: it binds the answer to this request" },
  reason: { present: "always", meaning: "why, as one code of the list in reasons.md" },
  rule: { present: "always", meaning: "`service/route`; the service alone, or empty, where none matched" },
  revision: { present: "always", meaning: "digest of the policies that decided" },
  status: { present: "when there is one", meaning: "400, 401, 403 or 503 of a refusal" },
  challenge: { present: "when there is one", meaning: "the whole WWW-Authenticate value of a refusal" },
  nonce: { present: "when there is one", meaning: "what the client is to use as `nonce` in DPoP proofs from now on" },
  seen: {
    present: "when there is one",
    meaning: "what the browser is to keep from now on as when its session was last seen",
  },
  step: { present: "when there is one", meaning: "how somebody has to log in anew, sealed for the agent's own pages" },
  forward: {
    present: "when there is one",
    meaning: "the argument of the credential that the backend gets too, or `all`",
  },
  backend: { present: "when there is one", meaning: "the HAProxy backend of an allowed request" },
  subject: { present: "named by the contract", meaning: "the principal's subject" },
  issuer: { present: "named by the contract", meaning: "name of the issuer that vouches for the principal" },
  kind: { present: "named by the contract", meaning: "person, workload or agent" },
  client: { present: "named by the contract", meaning: "the OAuth client that the token was issued to" },
  actor: { present: "named by the contract", meaning: "the subject of who acts for the principal now" },
  groups: { present: "named by the contract", meaning: "the principal's groups, joined by commas" },
  roles: { present: "named by the contract", meaning: "the principal's roles in these policies, joined by commas" },
  scopes: { present: "named by the contract", meaning: "the principal's scopes, joined by commas" },
  mesh_identity: {
    present: "named by the contract, when there is one",
    meaning: "the mesh identity that the backend's pods must have, for Linkerd's proxy beside HAProxy",
    // A DNS name.
    header: { name: "l5d-require-id", max: 253 },
  },
  assertion: {
    present: "named by the contract, when there is one",
    meaning: "the signed identity assertion, a short-lived JWT for this request",
    header: { name: "x-auth-assertion", max: 1536 },
  },
  upstream_token: {
    present: "named by the contract, when there is one",
    meaning: "the whole Authorization value with the token that the backend gets in place of the client's",
    header: { name: "authorization", max: 4096 },
  },
  verdict: {
    present: "always",
    meaning:
      "`allow`, or anything else for a refusal; the last to be written, because HAProxy keeps what it read before a broken byte",
  },
} as const satisfies Record<string, Variable>;

export type VariableName = keyof typeof VARIABLES;

/** Whether it is one that tells of the principal. */
export function isPrincipalVariable(name: string): name is VariableName {
  return isVariable(name) && VARIABLES[name].present === "named by the contract";
}

/** The header that HAProxy sets from it whatever policies say; undefined where it sets none. */
export function backendHeader(name: string): Variable["header"] {
  const variable: Variable | undefined = isVariable(name) ? VARIABLES[name] : undefined;
  return variable?.header;
}

/** Whether a contract may name the variable. */
export function isContractVariable(name: string): name is VariableName {
  return isPrincipalVariable(name) || backendHeader(name) !== undefined;
}

function isVariable(name: string): name is VariableName {
  return Object.hasOwn(VARIABLES, name);
}

/** The variable that carries the n-th identity header of the contract, counted from 1. */
export function headerVariable(n: number): `header_${number}` {
  return `header_${n}`;
}

/** A variable's name as HAProxy's rules read it. */
export function inTransaction(name: VariableName | `header_${number}`): string {
  return `txn.${VARIABLE_PREFIX}.${name}`;
}
