import { type Test, test } from "tap";
import type { CertificateIssuer } from "../../agent/identity/certificate/section.ts";
import type { Verification } from "../../agent/identity/identity.ts";
import {
  Authority,
  base64,
  CLIENT_AUTH,
  extension,
  type Issued,
  nameOf,
  newPair,
  PAIRS,
  SERVER_AUTH,
  type Wanted,
} from "../support/certificates.ts";
import { Clockwork } from "../support/clockwork.ts";
import { der, sequence, text } from "../support/der.ts";
import { certificateIssuer, startIdentity } from "../support/identity.ts";

const ID = "spiffe://example.org/ns/shop/sa/web";
const HOUR = 3_600_000;

/** Issuers of a test, and what becomes of a certificate: whom it proves, or why it does not. */
function judging(t: Test, ...issuers: readonly CertificateIssuer[]) {
  const started = startIdentity(issuers, { time: new Clockwork() });
  t.teardown(() => started.identity.close());
  const verify = (bytes: Buffer) =>
    started.identity.verify({ kind: "client-certificate", bytes, start: 0, end: bytes.length }, started.time.now);
  return { ...started, verify, judge: (bytes: Buffer) => shown(verify(bytes)) };
}

/** The subject, or the reason and what it is about. */
function shown(found: Verification | Promise<Verification>): string {
  if (found instanceof Promise) throw new Error("at once, or never");
  if (found.principal !== undefined) return found.principal.subject;
  return found.claim === undefined ? found.reason : `${found.reason} ${found.claim}`;
}

const spiffe = (authority: Authority, changes: Partial<CertificateIssuer> = {}) =>
  certificateIssuer({ identity: "spiffe", trustDomain: "example.org", ca: [base64(authority.der)], ...changes });

test("an SVID proves its SPIFFE id, and says what else it says", (t) => {
  const authority = new Authority("SPIRE");
  const { verify } = judging(t, spiffe(authority, { kind: "agent" }));
  const dates = { from: Date.UTC(2026, 0, 1), until: Date.UTC(2040, 0, 1) };
  const names = [`uri:${ID}`, "dns:web.shop", "email:web@example.org"];
  const subject = nameOf({ "2.5.4.10": "SPIRE", "2.5.4.3": "web" });
  const { der } = authority.issue({ ...dates, names, subject, serial: 0x80ff });
  t.match(verify(der), {
    principal: {
      subject: ID,
      uri: ID,
      issuer: "machines",
      kind: "agent",
      groups: [],
      authenticatedAt: dates.from,
      expiresAt: dates.until,
      claims: {
        uri: [ID],
        dns: ["web.shop"],
        email: ["web@example.org"],
        serial: "80ff",
        subject: "CN=web,O=SPIRE",
        issuer: "CN=SPIRE",
        nbf: dates.from / 1000,
        exp: dates.until / 1000,
        "x5t#S256": /^[\w-]{43}$/,
      },
    },
    confirmation: undefined,
  });
  t.end();
});

/** What an SVID must be (X509-SVID), and what becomes of one that is not. */
const SVIDS: readonly (readonly [name: string, changes: Wanted, outcome: string])[] = [
  ["without extendedKeyUsage", { purposes: undefined }, ID],
  ["with names of other kinds", { names: [`uri:${ID}`, "dns:a.example", "email:a@example"] }, ID],
  [
    "with a subject, and names that need not be understood",
    { subject: nameOf({ "2.5.4.3": "web" }), namesCritical: false },
    ID,
  ],
  ["with another critical name", { more: [extension("2.5.29.32", sequence(sequence()), true)] }, ID],
  ["two SPIFFE ids", { names: [`uri:${ID}`, "uri:spiffe://example.org/admin"] }, "claim-malformed subjectAltName"],
  [
    "two of two trust domains",
    { names: [`uri:${ID}`, "uri:spiffe://other.example/a"] },
    "claim-malformed subjectAltName",
  ],
  [
    "a URI beside the SPIFFE id",
    { names: [`uri:${ID}`, "uri:https://example.org/"] },
    "claim-malformed subjectAltName",
  ],
  ["a trust domain alone", { names: ["uri:spiffe://example.org"] }, "claim-malformed subjectAltName"],
  ["a trust domain with a slash", { names: ["uri:spiffe://example.org/"] }, "claim-malformed subjectAltName"],
  ["a scheme in capitals", { names: ["uri:SPIFFE://example.org/a"] }, "claim-malformed subjectAltName"],
  ["an escape", { names: ["uri:spiffe://example.org/%61"] }, "claim-malformed subjectAltName"],
  ["a dot segment", { names: ["uri:spiffe://example.org/a/../admin"] }, "claim-malformed subjectAltName"],
  ["a trust domain in capitals", { names: ["uri:spiffe://Example.org/a"] }, "issuer-unknown"],
  ["another trust domain", { names: ["uri:spiffe://other.example/a"] }, "issuer-unknown"],
  ["a trust domain that begins so", { names: ["uri:spiffe://example.org.evil/a"] }, "issuer-unknown"],
  ["a user before the trust domain", { names: ["uri:spiffe://example.org@evil/a"] }, "issuer-unknown"],
  ["a port", { names: ["uri:spiffe://example.org:443/a"] }, "issuer-unknown"],
  ["no SPIFFE id", { names: ["uri:https://example.org/a"] }, "issuer-unknown"],
  ["no name", { names: [] }, "issuer-unknown"],
  ["a SPIFFE id in its subject alone", { names: [], subject: nameOf({ "2.5.4.3": ID }) }, "issuer-unknown"],
  ["an authority's", { authority: true }, "certificate-unsuitable basicConstraints"],
  ["no keyUsage", { usage: undefined }, "certificate-unsuitable keyUsage"],
  ["no digitalSignature", { usage: [4] }, "certificate-unsuitable keyUsage"],
  ["keyCertSign", { usage: [0, 5] }, "certificate-unsuitable keyUsage"],
  ["cRLSign", { usage: [0, 6] }, "certificate-unsuitable keyUsage"],
  ["keyUsage that need not be understood", { usageCritical: false }, "certificate-unsuitable keyUsage"],
  ["for servers alone", { purposes: [SERVER_AUTH] }, "certificate-unsuitable extendedKeyUsage"],
  ["for clients alone", { purposes: [CLIENT_AUTH] }, "certificate-unsuitable extendedKeyUsage"],
  [
    "without subject, and names that need not be understood",
    { namesCritical: false },
    "certificate-unsuitable subjectAltName",
  ],
  [
    "an extension that is not known",
    { more: [extension("1.2.3.4", text(0x0c, "x"), true)] },
    "certificate-unsuitable extensions",
  ],
  [
    "constraints of an authority",
    { more: [extension("2.5.29.30", sequence(), true)] },
    "certificate-unsuitable extensions",
  ],
];

test("an SVID is held to every rule of X509-SVID", (t) => {
  const authority = new Authority("SPIRE");
  const { judge } = judging(t, spiffe(authority));
  for (const [name, changes, outcome] of SVIDS) {
    t.equal(judge(authority.issue({ names: [`uri:${ID}`], ...changes }).der), outcome, name);
  }
  t.end();
});

test("an authority vouches for its own trust domain and no other, whatever it is called", (t) => {
  const [ours, theirs, namesake] = [new Authority("SPIRE"), new Authority("Theirs"), new Authority("SPIRE")];
  const { judge } = judging(
    t,
    spiffe(ours),
    spiffe(theirs, { name: "theirs", issuer: "spiffe://theirs", trustDomain: "theirs" }),
  );
  const issue = (by: Authority, id: string) => by.issue({ names: [`uri:${id}`] }).der;
  t.equal(judge(issue(ours, ID)), ID);
  t.equal(judge(issue(theirs, "spiffe://theirs/a")), "spiffe://theirs/a");
  t.equal(judge(issue(theirs, ID)), "issuer-unknown", "its SVID of another domain");
  t.equal(judge(issue(ours, "spiffe://theirs/a")), "issuer-unknown");
  t.equal(judge(issue(namesake, ID)), "signature-invalid", "an authority of the same name");
  const anonymous = { names: [`uri:${ID}`], authorityKeyId: undefined };
  t.equal(judge(namesake.issue(anonymous).der), "signature-invalid");
  t.equal(judge(theirs.issue(anonymous).der), "issuer-unknown", "nor is one of another name, whose key it is not said");
  t.equal(judge(ours.issue(anonymous).der), ID, "which key it is need not be said");
  t.equal(judge(ours.issue({ ...anonymous, authorityKeyId: theirs.keyId }).der), "issuer-unknown", "but not wrongly");
  const below = new Authority("Below", {}, newPair(), ours);
  t.equal(judge(issue(below, ID)), "issuer-unknown", "one that ours has signed is not ours");
  t.end();
});

/** By their DNS names or their subjects; with the same authority. */
const NAMED: readonly (readonly [identity: "dns" | "subject", name: string, changes: Wanted, outcome: string])[] = [
  ["dns", "a name", { names: ["dns:web.shop"] }, "web.shop"],
  ["dns", "in capitals", { names: ["dns:WEB.shop"] }, "web.shop"],
  ["dns", "and one of another kind", { names: ["dns:web.shop", "email:a@b", "uri:https://a"] }, "web.shop"],
  ["dns", "two names", { names: ["dns:web.shop", "dns:admin.shop"] }, "claim-malformed subjectAltName"],
  ["dns", "a wildcard", { names: ["dns:*.shop"] }, "claim-malformed subjectAltName"],
  ["dns", "a dot at its end", { names: ["dns:web.shop."] }, "claim-malformed subjectAltName"],
  ["dns", "an empty label", { names: ["dns:web..shop"] }, "claim-malformed subjectAltName"],
  ["dns", "a slash", { names: ["dns:web/shop"] }, "claim-malformed subjectAltName"],
  [
    "dns",
    "a name in its subject alone",
    { subject: nameOf({ "2.5.4.3": "web.shop" }) },
    "claim-missing subjectAltName",
  ],
  ["dns", "a SPIFFE id", { names: ["dns:web.shop", `uri:${ID}`] }, "issuer-unknown"],
  ["subject", "a name", { subject: nameOf({ "2.5.4.10": "Acme", "2.5.4.3": "alice" }) }, "CN=alice,O=Acme"],
  ["subject", "one with a comma in it", { subject: nameOf({ "2.5.4.3": "alice,O=Acme" }) }, "CN=alice\\,O=Acme"],
  ["subject", "none", { names: ["dns:web.shop"] }, "claim-missing subject"],
  [
    "subject",
    "a line feed",
    { subject: nameOf({ "2.5.4.3": "alice\nx-auth-subject: bob" }) },
    "claim-malformed subject",
  ],
  ["subject", "a NUL", { subject: nameOf({ "2.5.4.3": "alice\0" }) }, "claim-malformed subject"],
  ["subject", "a very long one", { subject: nameOf({ "2.5.4.3": "a".repeat(1100) }) }, "claim-malformed subject"],
  ["dns", "no keyUsage", { names: ["dns:web.shop"], usage: undefined }, "web.shop"],
  ["dns", "no digitalSignature", { names: ["dns:web.shop"], usage: [2] }, "certificate-unsuitable keyUsage"],
  ["dns", "keyCertSign", { names: ["dns:web.shop"], usage: [0, 5] }, "certificate-unsuitable keyUsage"],
  ["dns", "for clients", { names: ["dns:web.shop"], purposes: [CLIENT_AUTH] }, "web.shop"],
  [
    "dns",
    "for servers",
    { names: ["dns:web.shop"], purposes: [SERVER_AUTH] },
    "certificate-unsuitable extendedKeyUsage",
  ],
  [
    "dns",
    "for anything",
    { names: ["dns:web.shop"], purposes: ["2.5.29.37.0"] },
    "certificate-unsuitable extendedKeyUsage",
  ],
  ["dns", "for nothing", { names: ["dns:web.shop"], purposes: undefined }, "certificate-unsuitable extendedKeyUsage"],
  ["dns", "an authority's", { names: ["dns:web.shop"], authority: true }, "certificate-unsuitable basicConstraints"],
];

test("other certificates are known by their one DNS name, or by their subject", (t) => {
  const authority = new Authority("Acme");
  const judges = {
    dns: judging(t, certificateIssuer({ identity: "dns", ca: [base64(authority.der)] })).judge,
    subject: judging(t, certificateIssuer({ identity: "subject", ca: [base64(authority.der)] })).judge,
  };
  for (const [identity, name, changes, outcome] of NAMED) {
    t.equal(judges[identity](authority.issue(changes).der), outcome, `${identity}: ${name}`);
  }
  t.end();
});

test("what is no certificate, or is changed, proves nobody", (t) => {
  const authority = new Authority("Acme");
  const { judge } = judging(t, certificateIssuer({ ca: [base64(authority.der)] }));
  const { der, pem } = authority.issue({ names: ["dns:web.shop"] });
  t.equal(judge(der), "web.shop");
  t.equal(judge(Buffer.concat([der, Buffer.from([0])])), "issuer-unknown", "a byte behind it");
  t.equal(judge(Buffer.concat([der, der])), "issuer-unknown");
  t.equal(judge(Buffer.from(pem)), "issuer-unknown");
  t.equal(judge(Buffer.from("x")), "issuer-unknown");
  for (let at = 0; at < der.length; at++) {
    const damaged = Buffer.from(der);
    damaged[at] = (damaged[at] as number) ^ 1;
    t.not(judge(damaged), "web.shop", `byte ${at}`);
  }
  t.end();
});

test("a certificate counts between its dates, to the second, and as long as its authority", (t) => {
  const start = Date.UTC(2026, 0, 1);
  const authority = new Authority("Acme", { from: start, until: start + 10 * HOUR });
  const { judge, time } = judging(t, certificateIssuer({ ca: [base64(authority.der)] }));
  const issue = (from: number, until: number) => authority.issue({ names: ["dns:web.shop"], from, until }).der;
  const short = issue(start + HOUR, start + 2 * HOUR);
  const long = issue(start - HOUR, start + 100 * HOUR);
  for (const [name, bytes, at, outcome] of [
    ["before it", short, start + HOUR - 1, "token-not-yet-valid"],
    ["at its start", short, start + HOUR, "web.shop"],
    ["at its end", short, start + 2 * HOUR - 1, "web.shop"],
    ["behind it", short, start + 2 * HOUR, "token-expired"],
    ["before its authority's", long, start - 1, "issuer-unavailable"],
    ["at its authority's start", long, start, "web.shop"],
    ["at its authority's end", long, start + 10 * HOUR - 1, "web.shop"],
    ["behind its authority's", long, start + 10 * HOUR, "issuer-unavailable"],
  ] as const) {
    time.now = at;
    t.equal(judge(bytes), outcome, name);
    t.equal(judge(bytes), outcome, `${name}, once more`);
  }
  t.end();
});

test("an authority that was renewed goes on, with the same key or another", (t) => {
  const start = Date.UTC(2026, 0, 1);
  const old = new Authority("Acme", { from: start, until: start + HOUR });
  const same = new Authority("Acme", { from: start, until: start + 9 * HOUR }, old.pair);
  const next = new Authority("Acme", { from: start, until: start + 9 * HOUR, keyId: Buffer.from("next") });
  const { judge, time, identity } = judging(
    t,
    certificateIssuer({ ca: [old, same, next].map((authority) => base64(authority.der)) }),
  );
  const issue = (by: Authority) => by.issue({ names: ["dns:web.shop"], from: start, until: start + 9 * HOUR }).der;
  for (const at of [start, start + 2 * HOUR]) {
    time.now = at;
    for (const by of [old, same, next]) t.equal(judge(issue(by)), "web.shop");
  }
  t.match(identity.status(), [{ error: /^1 of 3 authorities cannot vouch/, details: { authorities: 2 } }]);
  t.end();
});

test("of the authorities of one name and key id eight are tried, whatever comes", (t) => {
  const all = Array.from({ length: 9 }, () => new Authority("Acme"));
  const { judge } = judging(t, certificateIssuer({ ca: all.map((authority) => base64(authority.der)) }));
  const outcomes = all.map((authority) => judge(authority.issue({ names: ["dns:web.shop"] }).der));
  t.strictSame(outcomes, [...Array.from({ length: 8 }, () => "web.shop"), "signature-invalid"]);
  t.end();
});

test("keys and signatures are strong, or prove nobody", (t) => {
  const outcomes: Readonly<Record<keyof typeof PAIRS, string>> = {
    p384: "web.shop",
    p521: "web.shop",
    ed25519: "web.shop",
    rsa: "web.shop",
    pss: "web.shop",
    secp256k1: "key-weak",
    rsa1024: "key-weak",
    ecdsaSha1: "signature-invalid",
    rsaSha1: "signature-invalid",
    pssShortSalt: "signature-invalid",
    pssOtherMask: "signature-invalid",
    pssNoMask: "signature-invalid",
    rsaWithoutNull: "signature-invalid",
    rsaLongNull: "signature-invalid",
  };
  for (const [name, outcome] of Object.entries(outcomes)) {
    const pair = PAIRS[name as keyof typeof PAIRS]();
    const authority = new Authority("Acme");
    const weak = outcome === "key-weak";
    const signing = weak ? authority : new Authority("Acme", {}, { ...pair });
    const { judge } = judging(t, certificateIssuer({ ca: [base64(signing.der)] }));
    const key = weak ? pair : newPair();
    t.equal(judge(signing.issue({ names: ["dns:web.shop"] }, key).der), outcome, name);
  }
  t.end();
});

test("a signature of another kind than it says is none", (t) => {
  const misnamed = new Authority("Acme", {}, { ...PAIRS.rsa(), algorithm: newPair().algorithm });
  const { judge } = judging(t, certificateIssuer({ ca: [base64(misnamed.der)] }));
  t.equal(judge(misnamed.issue({ names: ["dns:web.shop"] }).der), "signature-invalid");
  t.end();
});

test("what a list of revocations names is refused, and without a list in force nobody is let in", (t) => {
  const start = Date.UTC(2026, 0, 1);
  const authority = new Authority("Acme", { from: start, until: start + 99 * HOUR });
  const other = new Authority("Other", { from: start, until: start + 99 * HOUR });
  const dates = { from: start, until: start + 99 * HOUR };
  const list = authority.revoke([7, 0x80], { from: start + HOUR, until: start + 2 * HOUR });
  const ca = [authority, other].map((each) => base64(each.der));
  const { judge, time, identity } = judging(t, certificateIssuer({ ca, crl: [base64(list)] }));
  const issue = (serial: number, by: Authority = authority): Issued =>
    by.issue({ ...dates, names: ["dns:web.shop"], serial });
  const [good, bad, negative] = [issue(8).der, issue(7).der, issue(0x80).der];
  time.now = start + HOUR - 1;
  t.equal(judge(good), "issuer-unavailable", "before the list");
  time.now = start + HOUR;
  t.equal(judge(good), "web.shop");
  t.equal(judge(bad), "credential-revoked");
  t.equal(judge(negative), "credential-revoked");
  t.equal(judge(issue(7, other).der), "issuer-unavailable", "an authority without a list");
  time.now = start + 2 * HOUR - 1;
  t.equal(judge(good), "web.shop");
  t.equal(identity.status()[0]?.identities, 1);
  time.now = start + 2 * HOUR;
  t.equal(judge(good), "issuer-unavailable", "once the next list should be there");
  t.match(identity.status(), [{ error: /^2 of 2 authorities/, details: { authorities: 0 } }]);
  const brief = new Authority("Brief", { from: start, until: start + HOUR });
  const outlasting = base64(brief.revoke([], { from: start, until: start + 9 * HOUR }));
  const after = judging(t, certificateIssuer({ ca: [base64(brief.der)], crl: [outlasting] }));
  after.time.now = start + HOUR - 1;
  t.equal(after.judge(issue(8, brief).der), "web.shop");
  after.time.now += 1;
  t.equal(after.judge(issue(8, brief).der), "issuer-unavailable", "a list does not outlast its authority");
  t.end();
});

test("of two lists the newer counts", (t) => {
  const authority = new Authority("Acme");
  const [older, newer] = [
    authority.revoke([7], { from: Date.now() - 2 * HOUR }),
    authority.revoke([8], { from: Date.now() - HOUR }),
  ];
  for (const crl of [
    [older, newer],
    [newer, older],
  ]) {
    const { judge } = judging(t, certificateIssuer({ ca: [base64(authority.der)], crl: crl.map(base64) }));
    const issue = (serial: number) => authority.issue({ names: ["dns:web.shop"], serial }).der;
    t.equal(judge(issue(8)), "credential-revoked");
    t.equal(judge(issue(7)), "web.shop");
  }
  t.end();
});

test("a directory's name among the names is passed over", (t) => {
  const authority = new Authority("Acme");
  const { judge } = judging(t, certificateIssuer({ ca: [base64(authority.der)] }));
  const names = ["dns:web.shop", der(0xa4, nameOf({ "2.5.4.3": "admin" }))];
  t.equal(judge(authority.issue({ names }).der), "web.shop");
  t.end();
});
