import { hash } from "node:crypto";
import { test } from "tap";
import { IdentityCache, RefusalCache, type Verification } from "../../agent/identity/cache.ts";
import { InFlight } from "../../agent/identity/in-flight.ts";

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
  const issuer = { keys: { version: 1 } } as Parts["issuer"];
  const principal = { subject: "alice", expiresAt: 1_000 } as Parts["principal"];
  const key = { until: 1_000, identities: 0 } as Parts["key"];
  const identity = (digest: string): Parts => ({ digest, principal, issuer, key, verifiedAt: 0 });

  const identities = new IdentityCache(10, 1_000, new Set([issuer]));
  const alice = identity(one);
  identities.add(alice);
  t.equal(identities.find(one, 1), alice);
  t.equal(identities.find(two, 1), undefined);
  identities.add(identity(two));
  t.equal(identities.find(one, 1), undefined, "the later one has taken its place");
  t.equal(key.identities, 1);

  const refusals = new RefusalCache(10);
  const verification: Verification = { principal: undefined, reason: "signature-invalid" };
  refusals.add({ digest: one, verification, issuer, version: 1, refusedAt: 0 });
  t.equal(refusals.find(one, 1), verification);
  t.equal(refusals.find(two, 1), undefined);

  const inFlight = new InFlight();
  const waiter = { wanted: () => true };
  const [first, second] = [Promise.resolve(verification), Promise.resolve(verification)];
  inFlight.add(one, first, []);
  t.equal(inFlight.join(one, waiter), first);
  t.equal(inFlight.join(two, waiter), undefined);
  inFlight.add(two, second, []);
  t.equal(inFlight.join(one, waiter), undefined, "the later one has taken its place");
  inFlight.delete(one);
  t.equal(inFlight.join(two, waiter), second, "and does not end with the earlier one");
  inFlight.delete(two);
  t.equal(inFlight.join(two, waiter), undefined);
  t.end();
});
