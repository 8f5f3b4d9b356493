import { type Test, test } from "tap";
import type { IssuerConfig } from "../../agent/config/config.ts";
import type { IssuerTypes } from "../../agent/identity/issuer/issuer.ts";
import type { Offered } from "../../agent/identity/offered.ts";
import { ISSUER_TYPES } from "../../agent/identity/types.ts";
import { type Behaviour, type Front, reply } from "../../demo/front.ts";
import type { Reason } from "../../policies/decision.ts";
import { Clockwork } from "../support/clockwork.ts";
import { startIdentity } from "../support/identity.ts";

/** Milliseconds for which the credentials of a subject are good. */
export const LIFETIME = 600_000;

/** An issuer of some type, and somebody who makes credentials for it. All is the test's own. */
export interface Subject {
  /** Its `audiences` are `api://orders`. */
  readonly issuer: IssuerConfig;
  /** Of a binary one each character is a byte. A credential of alice for api://orders, good from now for LIFETIME. `twin` tells apart what is otherwise alike. */
  good(twin?: number): Promise<string>;
  /** The same, but for somebody else. */
  foreign(): Promise<string>;
  /** What nobody has issued, and looks as if. */
  forged(): Promise<string>;
  /** What it depends on, where it cannot judge alone. */
  readonly provider?: Provider;
  /** Takes back what `good` has given, at the provider or in the configuration, which it returns where it is another. */
  revoke(started: Started): Promise<IssuerConfig | undefined>;
}

interface Provider {
  readonly front: Front;
  /** The end of the path whose answer counts, and answers to it that must convince nobody. */
  readonly path: string;
  readonly lies: readonly Behaviour[];
  /** Settles once it has been asked again, if that does not take a credential. */
  again(started: Started): Promise<void>;
}

export type Started = ReturnType<typeof startIdentity>;

/** How a type words what all have in common. */
export interface Wording {
  readonly forged: Reason;
  readonly revoked: Reason;
  /** Of what was made for somebody else; default: audience-not-accepted. */
  readonly foreign?: Reason;
  /** Of what has ended; default: token-expired. */
  readonly expired?: Reason;
  /** Whom it proves; default: alice. */
  readonly subject?: string;
  /**
   * Why there is nothing in it that proves itself, where that is so: then a changed one is not forged but somebody
   * else's, and what keeps it from being made is shown elsewhere.
   */
  readonly unsigned?: string;
}

/**
 * What every type of issuer has to do: the same questions to each.
 *
 * @param start a fresh subject, which ends with the test
 * @param types the table that the type is in
 */
export function behavesAsIssuer(type: string, start: Start, wording: Wording, types: IssuerTypes = ISSUER_TYPES): void {
  const begin = beginning(start, types);

  test(`${type}: a valid credential proves who it is`, async (t) => {
    const { good, verify, issuer } = await begin(t);
    const { principal } = await verify(await good());
    t.match(principal, { issuer: issuer.name, subject: wording.subject ?? "alice", audiences: ["api://orders"] });
    t.ok(Object.isFrozen(principal), "and nobody can change who");
    t.notOk((await verify((await good()).toUpperCase())).principal, "in no other spelling");
    t.notOk((await verify(`${await good()}x`)).principal);
  });

  test(`${type}: an expired credential is refused, cached or not, from the same instant`, async (t) => {
    const { good, judge, verify, time } = await begin(t);
    const [cached, fresh] = [await good(1), await good(2)];
    const { principal } = await verify(cached);
    time.now = (principal?.expiresAt ?? 0) - 1;
    t.equal(await judge(cached), "proven", "the moment before");
    time.now += 1;
    t.equal(await judge(cached), wording.expired ?? "token-expired");
    t.equal(await judge(fresh), wording.expired ?? "token-expired");
  });

  test(`${type}: a forged credential is refused, and so is one for somebody else`, async (t) => {
    const { good, forged, foreign, judge, verify, identity } = await begin(t);
    t.equal(await judge(await forged()), wording.forged);
    t.equal(await judge(await foreign()), wording.foreign ?? "audience-not-accepted");
    const token = await good();
    for (let at = 0; at < token.length; at += Math.ceil(token.length / 20)) {
      const other = token[at] === "a" ? "b" : "a";
      const { principal } = await verify(token.slice(0, at) + other + token.slice(at + 1));
      if (wording.unsigned === undefined) t.notOk(principal, `character ${at}`);
      else t.not(principal?.subject, token, `character ${at}: ${wording.unsigned}`);
    }
    if (wording.unsigned === undefined)
      t.equal(identity.status()[0]?.identities, 0, "nothing of it is remembered as proven");
  });

  test(`${type}: a known credential is answered at once, as often as it comes`, async (t) => {
    const { good, verify, identity, time, told, kind, offer } = await begin(t);
    const token = await good();
    const first = await verify(token);
    for (let again = 0; again < 100; again++) t.equal(identity.verify(offer(token), time.now), first);
    const bytes = Buffer.from(` ${token}`, "latin1");
    const offered = { kind, bytes, start: 1, end: bytes.length };
    t.equal(identity.verify(offered, time.now), first, "read from a header");
    t.equal(identity.verify(offered, time.now), first, "and as one that is in use");
    t.equal(told.count("miss"), 1);
    t.equal(identity.status()[0]?.identities, 1);
    time.now += LIFETIME * 10;
    t.notOk((await verify(token)).principal, "but not for ever");
  });

  test(`${type}: what was taken back proves nobody, whether it is known or not`, async (t) => {
    const { good, judge, revoke, started, time, offer } = await begin(t);
    const [known, fresh] = [await good(1), await good(2)];
    t.equal(await judge(known), "proven");
    const changed = await revoke(started);
    const after =
      changed === undefined ? started : startIdentity([changed], { time, types, previous: started.identity });
    if (changed !== undefined) t.teardown(() => after.identity.close());
    await after.identity.ready();
    t.equal(await after.judge(offer(known)), wording.revoked);
    t.equal(await after.judge(offer(fresh)), wording.revoked);
  });

  test(`${type}: what ends takes its identities with it`, async (t) => {
    const { good, judge, identity, issuer, time, offer } = await begin(t);
    const token = await good();
    t.equal(await judge(token), "proven");
    const after = startIdentity([structuredClone(issuer)], { time, types, previous: identity });
    identity.close();
    t.equal(await after.judge(offer(token)), "proven", "unchanged, it goes on in the next snapshot");
    t.equal(after.told.count("miss"), 0, "with what it knows");
    after.identity.close();
    t.equal(await after.judge(offer(token)), "issuer-unavailable");
    t.equal(await judge(token), "issuer-unavailable");
    const without = startIdentity([], { time, types, previous: identity });
    t.notOk((await without.verify(offer(token))).principal, "nor is it anybody's where its issuer is not configured");
    without.identity.close();
  });

  test(`${type}: what ends while a credential is verified proves nobody`, async (t) => {
    const { good, identity, time, offer } = await begin(t);
    const [token, other] = [await good(1), await good(2)];
    const [first, second] = [identity.verify(offer(token), time.now), identity.verify(offer(other), time.now)];
    identity.close();
    for (const found of [first, second]) {
      if (found instanceof Promise) t.match(await found, { principal: undefined, reason: "issuer-unavailable" });
    }
    t.notOk((await identity.verify(offer(token), time.now)).principal);
  });

  test(`${type}: what it says of itself is plain, and gives nothing away`, async (t) => {
    const { good, judge, identity, issuer } = await begin(t);
    const token = await good();
    await judge(token);
    const status = identity.status();
    t.match(status, [{ name: issuer.name, issuer: issuer.issuer, identities: 1, error: undefined }]);
    t.strictSame(structuredClone(status), status);
    t.strictSame(structuredClone(issuer), issuer);
    t.notMatch(JSON.stringify(status), token.slice(-20));
  });
}

/** What every type of issuer has to do that asks a provider. */
export function outlivesItsProvider(type: string, start: Start, types: IssuerTypes = ISSUER_TYPES): void {
  const begin = beginning(start, types);

  test(`${type}: a provider that is down, lies or is slow lets nobody in, and is asked again`, async (t) => {
    const { lies } = providerOf(await start(t, new Clockwork()));
    for (const [name, behaviour] of [
      ["down", "reset"],
      ["failing", "error"],
      ["empty", reply("")],
      ["of another opinion", reply("<html>log in</html>")],
      ["large", reply(`{"a":"${"a".repeat(2 << 20)}"}`)],
      ...lies.map((lie, n) => [`lying ${n}`, lie] as const),
    ] as const) {
      const { good, judge, identity, started, ...subject } = await begin(t, false);
      const { front, path, again } = providerOf(subject);
      front.behave(behaviour, path);
      await identity.ready();
      const token = await good();
      t.equal(await judge(token), "issuer-unavailable", name);
      t.type(identity.status()[0]?.error, "string", `${name}: and it says so`);
      front.behave("up", path);
      await again(started);
      t.equal(await judge(token), "proven", `after ${name}`);
      t.equal(identity.status()[0]?.error, undefined);
    }
  });

  test(`${type}: a slow provider delays its own and nobody else, and not for ever`, async (t) => {
    const { good, identity, time, offer, ...subject } = await begin(t, false);
    const { front, path } = providerOf(subject);
    front.behave("silent", path);
    const asked = front.arrival(path);
    const token = await good();
    const waiting = identity.verify(offer(token), time.now);
    t.ok(waiting instanceof Promise);
    await asked;
    t.equal(identity.verify(offer(token), time.now), waiting, "whoever comes meanwhile waits for the same");
    t.match(identity.verify("nor.this.one", time.now), {
      principal: undefined,
      reason: /token-malformed|issuer-unknown/,
    });
    time.advance(60_000);
    t.match(await waiting, { principal: undefined, reason: "issuer-unavailable" });
    t.notOk(identity.status()[0]?.identities);
  });
}

type Start = (t: Test, time: Clockwork) => Promise<Subject>;

function beginning(start: Start, types: IssuerTypes) {
  return async (t: Test, ready = true) => {
    const time = new Clockwork();
    const subject = await start(t, time);
    const started = startIdentity([subject.issuer], { time, types, lifetime: 6 * LIFETIME });
    t.teardown(() => started.identity.close());
    if (ready) await started.identity.ready();
    const kind = subject.issuer.credentials[0] ?? "bearer";
    const offer = (credential: string): Offered => {
      if (kind === "bearer") return credential;
      return { kind, bytes: Buffer.from(credential, "latin1"), start: 0, end: credential.length };
    };
    const verify = (credential: string) => started.verify(offer(credential));
    const judge = (credential: string) => started.judge(offer(credential));
    return { ...subject, ...started, time, started, kind, offer, verify, judge };
  };
}

function providerOf({ provider }: Pick<Subject, "provider">): Provider {
  if (provider === undefined) throw new Error("it asks nobody");
  return provider;
}
