import type { Party, RunningProvider } from "./provider.ts";
import { presign, SESSION_KEY, tokenOf } from "./sigv4.ts";
import type { Identity, Keys } from "./sts.ts";

/** Seconds; long enough to try things out. */
const LIFETIME = 3600;
/** ES256 makes the shortest tokens, for curl lines that still can be read. */
const COMMON = { algorithm: "ES256", lifetime: LIFETIME } as const;

/** Whom the demo's identity provider knows. */
export const PARTIES = {
  alice: { ...COMMON, kind: "person", groups: ["Orders Readers"], claims: { amr: ["pwd"], tenant: "emea" } },
  bob: { ...COMMON, kind: "person", groups: ["Orders Admins"], claims: { amr: ["pwd"], tenant: "emea" } },
  carol: { ...COMMON, kind: "person", groups: ["Orders Admins"], claims: { amr: ["pwd", "mfa"], tenant: "apac" } },
  reports: { ...COMMON, kind: "workload", scope: "files:write", claims: { team: "reporting" } },
  courier: { ...COMMON, kind: "workload", scope: "orders:read" },
  charts: { ...COMMON, kind: "workload", claims: { team: "reporting" } },
  assistant: {
    ...COMMON,
    kind: "agent",
    groups: ["Orders Admins"],
    claims: { amr: ["pwd", "mfa"], tenant: "apac" },
    actsFor: "carol",
  },
} as const satisfies Readonly<Record<string, Party>>;

/** Whom the partner's knows. */
export const PARTNER_PARTIES = {
  erin: { kind: "person", groups: ["Orders Readers"], opaque: true },
} as const satisfies Readonly<Record<string, Party>>;

export type PartyName = keyof typeof PARTIES;
export const PARTY_NAMES = Object.keys(PARTIES) as readonly PartyName[];

/** Alice's token of yesterday, signed by the provider's own key. */
export function expiredToken(provider: RunningProvider, now: number): Promise<string> {
  const yesterday = Math.floor(now / 1000) - 86_400;
  const { groups, claims } = PARTIES.alice;
  return provider.sign({
    iss: provider.issuer,
    sub: "alice",
    aud: "api://orders",
    iat: yesterday,
    exp: yesterday + LIFETIME,
    groups,
    client_kind: "person",
    ...claims,
  });
}

/** The same token with another subject written into it; the signature stays as it was. */
export function tamperedToken(token: string, subject: string): string {
  const [header, payload = "", signature] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
  const changed = Buffer.from(JSON.stringify({ ...claims, sub: subject })).toString("base64url");
  return [header, changed, signature].join(".");
}

/** Whom AWS knows, or what stands for it: the role billing, in a session of one of its machines. */
export const AWS_KEYS: Keys<Identity> = new Map([
  [
    SESSION_KEY.id,
    {
      key: SESSION_KEY,
      holder: {
        Account: "123456789012",
        Arn: "arn:aws:sts::123456789012:assumed-role/billing/i-0123456789abcdef0",
        UserId: "AROACLKWSDQRAOEXAMPLE:i-0123456789abcdef0",
      },
    },
  ],
]);

/**
 * What `aws eks get-token --cluster-name SERVER_ID` prints with the keys of that session.
 *
 * @param now milliseconds since the epoch
 */
export function awsToken(serverId: string, now: number): string {
  const signed = { host: "sts.eu-central-1.amazonaws.com", region: "eu-central-1", key: SESSION_KEY };
  return tokenOf(presign({ ...signed, at: now, headers: { "x-k8s-aws-id": serverId } }));
}

/** Keys of demo/api-keys.yaml, which open nothing but this demo. */
export const API_KEYS = {
  good: "demo_JnY0tF8ibgQ7ZrPs8X3Dq2DWliwB3516oYNU4ITi3sd8HW",
  revoked: "demo_MtfHXW77AzavGTcvokbd5tkYUPNKFxYYCjco1t350o5rUV",
} as const;
