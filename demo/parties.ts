import type { Party, RunningProvider } from "./provider.ts";

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
  charts: { ...COMMON, kind: "workload", claims: { team: "reporting" } },
  assistant: {
    ...COMMON,
    kind: "agent",
    groups: ["Orders Admins"],
    claims: { amr: ["pwd", "mfa"], tenant: "apac" },
    actsFor: "carol",
  },
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
