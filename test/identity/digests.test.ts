import { hash } from "node:crypto";
import { test } from "tap";
import { IdentityCache, RefusalCache, type Verification } from "../../agent/identity/cache.ts";
import { InFlight } from "../../agent/identity/in-flight.ts";
import { Revocations } from "../../agent/identity/revocations.ts";
import type { CredentialName } from "../../haproxy/credentials.ts";

const NOTHING = new Revocations([], new Map());

/** Digests of two credentials that begin with the same 32 bits, by which both are filed. */
function twins(): readonly [string, string] {
  const seen = new Map<string, string>();
  for (let i = 0; ; i++) {
    const digest = hash("sha256", `token ${i}`, "binary");
    const twin = seen.get(digest.slice(0, 4));
    if (twin !== undefined) return [twin, digest];
    seen.set(digest.slice(0, 4), digest);
  }
}

type Parts = Parameters<IdentityCache["add"]>[0];

test("two credentials whose digests begin alike are never taken for each other", (t) => {
  const [one, two] = twins();
  const issuer = { version: 1 } as Parts["issuer"];
  const principal = { subject: "alice", expiresAt: 1_000 } as Parts["principal"];
  const basis = { until: 1_000, identities: 0 };
  const rest = { principal, confirmation: undefined, issuer, basis, verifiedAt: 0, lifetime: 1e9, cleared: NOTHING };
  const identity = (digest: string): Parts => ({ kind: "bearer", digest, ...rest });

  const identities = new IdentityCache(10, 1_000, new Set([issuer]), NOTHING);
  const alice = identity(one);
  identities.add(alice);
  t.equal(identities.find("bearer", one, 1), alice);
  t.equal(identities.find("bearer", two, 1), undefined);
  identities.add(identity(two));
  t.equal(identities.find("bearer", one, 1), undefined, "the later one has taken its place");
  t.equal(basis.identities, 1);

  const refusals = new RefusalCache(10);
  const verification: Verification = { principal: undefined, reason: "signature-invalid" };
  refusals.add({ kind: "bearer", digest: one, verification, issuer, version: 1, refusedAt: 0 });
  t.equal(refusals.find("bearer", one, 1), verification);
  t.equal(refusals.find("bearer", two, 1), undefined);

  const inFlight = new InFlight();
  const waiter = { wanted: () => true };
  const [first, second] = [Promise.resolve(verification), Promise.resolve(verification)];
  inFlight.add("bearer", one, first, []);
  t.equal(inFlight.join("bearer", one, waiter), first);
  t.equal(inFlight.join("bearer", two, waiter), undefined);
  inFlight.add("bearer", two, second, []);
  t.equal(inFlight.join("bearer", one, waiter), undefined, "the later one has taken its place");
  inFlight.delete("bearer", one);
  t.equal(inFlight.join("bearer", two, waiter), second, "and does not end with the earlier one");
  inFlight.delete("bearer", two);
  t.equal(inFlight.join("bearer", two, waiter), undefined);
  t.end();
});

test("the same text as two kinds of credential is two credentials", (t) => {
  const [digest, other] = [hash("sha256", "token", "binary"), "api-key" as CredentialName];
  const issuer = { version: 1 } as Parts["issuer"];
  const principal = { subject: "alice", expiresAt: 1_000 } as Parts["principal"];
  const rest = {
    principal,
    confirmation: undefined,
    issuer,
    basis: { until: 1_000, identities: 0 },
    verifiedAt: 0,
    lifetime: 1e9,
    cleared: NOTHING,
  };
  const identities = new IdentityCache(10, 1_000, new Set([issuer]), NOTHING);
  identities.add({ kind: "bearer", digest, ...rest });
  t.equal(identities.find("bearer", digest, 1)?.principal, principal);
  t.equal(identities.find(other, digest, 1), undefined);

  const refusals = new RefusalCache(10);
  const verification: Verification = { principal: undefined, reason: "signature-invalid" };
  refusals.add({ kind: "bearer", digest, verification, issuer, version: 1, refusedAt: 0 });
  t.equal(refusals.find("bearer", digest, 1), verification);
  t.equal(refusals.find(other, digest, 1), undefined);

  const inFlight = new InFlight();
  inFlight.add("bearer", digest, Promise.resolve(verification), []);
  t.equal(inFlight.join(other, digest, { wanted: () => true }), undefined);
  inFlight.delete(other, digest);
  t.ok(inFlight.join("bearer", digest, { wanted: () => true }));
  t.end();
});
