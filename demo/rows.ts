import type { Reason } from "../policies/decision.ts";
import type { PartyName } from "./parties.ts";

/** What a row sends as its credential: nobody's none, a party's fresh token, or a bad one. */
export type Credential =
  | PartyName
  | "none"
  | "expired"
  | "tampered"
  | "opaque"
  | "revoked"
  | "dpop"
  | "dpop-token"
  | "aws"
  | "aws-elsewhere"
  | "certificate"
  | "certificate-elsewhere"
  | "key"
  | "revoked-key";

/** One request of the demo, and what must come of it. */
export interface Row {
  readonly who: string;
  /** A few words on the one who asks. */
  readonly kind: string;
  readonly credential: Credential;
  readonly method: string;
  readonly host: string;
  /** Sent as it is. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  readonly reason: Reason;
  /** `service/route`, or less where no route decided. */
  readonly rule: string;
  /** The identity and credential headers that the backend receives; left out where nothing may reach it. */
  readonly received?: Readonly<Record<string, string>>;
}

const ORDERS = "orders.example.com";
const FILES = "files.example.com";
const READ = { method: "GET", host: ORDERS, path: "/v1/orders/42", rule: "orders/read" } as const;
const CANCEL = { method: "POST", host: ORDERS, path: "/v1/orders/42/cancel", rule: "orders/cancel" } as const;
const UPLOAD = { method: "PUT", host: FILES, path: "/reports/2026/june.csv", rule: "files/upload" } as const;

const NOBODY = { who: "nobody", kind: "no credential", credential: "none" } as const;
const ALICE = { who: "alice", kind: "a person, may read", credential: "alice" } as const;
const ASSISTANT = { who: "assistant", kind: "AI agent, for carol", credential: "assistant" } as const;

const ALLOWED = { status: 200, reason: "allowed" } as const;
const ALICE_READS = { "x-auth-subject": "alice", "x-auth-roles": "orders-reader" };

/** What the demo shows. policies/examples/ decides it. */
export const ROWS: readonly Row[] = [
  { ...NOBODY, ...READ, path: "/healthz", rule: "orders/health", status: 200, reason: "anyone", received: {} },
  { ...NOBODY, ...READ, status: 401, reason: "credential-missing" },
  {
    ...NOBODY,
    kind: "a browser's preflight",
    ...READ,
    method: "OPTIONS",
    headers: { origin: "https://shop.example.com", "access-control-request-method": "GET" },
    status: 200,
    reason: "preflight",
    received: {},
  },
  { ...ALICE, ...READ, ...ALLOWED, received: ALICE_READS },
  {
    ...ALICE,
    kind: "claims to be mallory",
    ...READ,
    headers: { "x-auth-subject": "mallory" },
    ...ALLOWED,
    received: ALICE_READS,
  },
  { ...ALICE, ...CANCEL, status: 403, reason: "role-missing" },
  { who: "bob", kind: "an admin, password only", credential: "bob", ...CANCEL, status: 403, reason: "condition-false" },
  {
    who: "carol",
    kind: "an admin with MFA",
    credential: "carol",
    ...CANCEL,
    ...ALLOWED,
    received: { "x-auth-subject": "carol", "x-auth-roles": "orders-admin,orders-reader" },
  },
  {
    ...ASSISTANT,
    ...READ,
    ...ALLOWED,
    received: {
      "x-auth-subject": "carol",
      "x-auth-actor": "assistant",
      "x-auth-roles": "ai-agent,orders-admin,orders-reader",
    },
  },
  { ...ASSISTANT, ...CANCEL, status: 403, reason: "role-denied" },
  {
    who: "erin",
    kind: "a person, opaque token",
    credential: "opaque",
    ...READ,
    ...ALLOWED,
    received: { "x-auth-subject": "erin", "x-auth-roles": "orders-reader" },
  },
  { who: "erin", kind: "a token taken back", credential: "revoked", ...READ, status: 401, reason: "token-inactive" },
  {
    who: "reports",
    kind: "a workload",
    credential: "reports",
    ...UPLOAD,
    ...ALLOWED,
    received: { "x-auth-subject": "reports" },
  },
  {
    who: "charts",
    kind: "a workload, no scope",
    credential: "charts",
    ...UPLOAD,
    status: 403,
    reason: "scope-missing",
  },
  {
    who: "courier",
    kind: "a workload, by DPoP",
    credential: "dpop",
    ...READ,
    ...ALLOWED,
    received: { "x-auth-subject": "courier", "x-auth-roles": "orders-reader" },
  },
  {
    who: "mallory",
    kind: "has courier's token",
    credential: "dpop-token",
    ...READ,
    status: 401,
    reason: "proof-missing",
  },
  {
    who: "mallory",
    kind: "and its used proof",
    credential: "dpop",
    ...READ,
    status: 401,
    reason: "proof-replayed",
  },
  {
    who: "billing",
    kind: "a workload, by AWS role",
    credential: "aws",
    ...READ,
    ...ALLOWED,
    received: { "x-auth-subject": "arn:aws:iam::123456789012:role/billing", "x-auth-roles": "orders-reader" },
  },
  {
    who: "billing",
    kind: "signed for elsewhere",
    credential: "aws-elsewhere",
    ...READ,
    status: 401,
    reason: "signature-invalid",
  },
  {
    who: "scanner-7",
    kind: "a device, certificate",
    credential: "certificate",
    ...READ,
    ...ALLOWED,
    received: { "x-auth-subject": "scanner-7.example.com", "x-auth-roles": "orders-reader" },
  },
  {
    who: "scanner-7",
    kind: "of another authority",
    credential: "certificate-elsewhere",
    ...READ,
    status: 401,
    reason: "issuer-unknown",
  },
  {
    who: "batch",
    kind: "a program, by API key",
    credential: "key",
    ...READ,
    ...ALLOWED,
    received: { "x-auth-subject": "batch", "x-auth-roles": "orders-reader" },
  },
  {
    who: "batch",
    kind: "a key taken back",
    credential: "revoked-key",
    ...READ,
    status: 401,
    reason: "credential-revoked",
  },
  { ...ALICE, kind: "yesterday's token", ...READ, credential: "expired", status: 401, reason: "token-expired" },
  {
    who: "mallory",
    kind: "altered alice's token",
    credential: "tampered",
    ...READ,
    status: 401,
    reason: "signature-invalid",
  },
  { ...ALICE, ...READ, host: "intranet.example.com", rule: "", status: 403, reason: "host-unknown" },
  { ...ALICE, ...READ, path: "/v1/orders/%2e%2e/42", rule: "orders", status: 400, reason: "path-ambiguous" },
];

/** What came of a row. */
export interface Outcome {
  readonly status: number;
  readonly reason: string;
  readonly rule: string;
  /** Identity and credential headers of each request that reached a backend meanwhile. */
  readonly received: readonly Readonly<Record<string, string>>[];
}

/** What of a row an outcome is held against. */
export type Expected = Pick<Row, "status" | "rule" | "received"> & { readonly reason: string };

/** Where the outcome is not the row's, one line each; none where all is as expected. */
export function differences(row: Expected, outcome: Outcome): readonly string[] {
  const wanted = { ...row, received: row.received === undefined ? [] : [row.received] };
  return (["status", "reason", "rule", "received"] as const)
    .filter((name) => text(wanted[name]) !== text(outcome[name]))
    .map((name) => `${name} should be ${text(wanted[name])}, is ${text(outcome[name])}`);
}

function text(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
