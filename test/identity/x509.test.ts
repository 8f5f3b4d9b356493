import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "tap";
import { pemBlocks } from "../../agent/config/files/pem.ts";
import { Der } from "../../agent/identity/certificate/der.ts";
import { distinguishedName, readNames } from "../../agent/identity/certificate/names.ts";
import { readRevocations } from "../../agent/identity/certificate/revocations.ts";
import { readCertificate } from "../../agent/identity/certificate/x509.ts";
import { spiffeId } from "../../policies/spiffe-id.ts";
import {
  Authority,
  certificateBody,
  extension,
  nameOf,
  newPair,
  pem,
  signed,
  type Wanted,
} from "../support/certificates.ts";
import { bits, boolean, der, integer, none, octets, oid, sequence, set, text } from "../support/der.ts";
import { ourView, rawOf, read, theirViewOf } from "./certificate-views.ts";

const VECTORS = JSON.parse(readFileSync(new URL("../vectors/certificates.json", import.meta.url), "utf8"));
/** Sound certificates of many shapes, always the same. */
const SHAPES: Readonly<Record<string, string>> = VECTORS.sound;

/** Node's own view of the same, as far as it has one. */
function nodeView({ serialNumber, validFromDate, validToDate, ca, keyUsage, publicKey, raw }: X509Certificate) {
  return {
    serial: serialNumber.toLowerCase().padStart(2, "0"),
    from: validFromDate.getTime(),
    until: validToDate.getTime(),
    authority: ca,
    purposes: keyUsage,
    publicKey: publicKey.export({ format: "der", type: "spki" }).toString("hex"),
    raw: raw.toString("hex"),
  };
}

test("what it reads of a certificate is what node and asn1-x509 read", (t) => {
  for (const [name, written] of Object.entries(SHAPES)) {
    const bytes = Buffer.from(written, "base64");
    const own = readCertificate(bytes);
    t.strictSame(ourView(own), theirViewOf(bytes), name);
    const { serial, raw, ...rest } = nodeView(new X509Certificate(bytes));
    t.match({ ...ourView(own), publicKey: own.publicKey.toString("hex") }, rest, `${name}, by node`);
    t.equal(own.serial.replace(/^00/, ""), serial, name);
    t.equal(own.der.toString("hex"), raw, name);
  }
  t.end();
});

/** A pseudo-random sequence that a failing test can be repeated with. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A certificate with some octets changed, left out, doubled or exchanged. */
function mutated(bytes: Buffer, random: (below: number) => number): Buffer {
  const at = random(bytes.length);
  const length = 1 + random(4);
  switch (random(5)) {
    case 0:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 1:
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    case 2: {
      const from = random(bytes.length - length);
      const copy = Buffer.from(bytes);
      bytes.copy(copy, Math.min(at, bytes.length - length), from, from + length);
      return copy;
    }
    default: {
      const copy = Buffer.from(bytes);
      copy[at] = random(2) === 0 ? (copy[at] as number) ^ (1 << random(8)) : random(256);
      return copy;
    }
  }
}

test("what it reads of damaged certificates is what the others read, or nothing", (t) => {
  const random = randomOf(20261128);
  const counts = { refused: 0, same: 0, strange: 0 };
  for (const [name, written] of Object.entries(SHAPES)) {
    const bytes = Buffer.from(written, "base64");
    for (let n = 0; n < 1_000; n++) {
      const damaged = mutated(bytes, random);
      const own = read(damaged);
      if (own === undefined) {
        counts.refused++;
        continue;
      }
      // Both look into keys and names that are passed over here: OpenSSL has done so before it comes to HAProxy.
      const shown = `${name}: ${damaged.toString("base64")}`;
      const raw = rawOf(damaged);
      if (raw?.equals(damaged) === false) t.fail(shown);
      const theirs = theirViewOf(damaged);
      if (raw === undefined || theirs === undefined) counts.strange++;
      else if (JSON.stringify(ourView(own)) === JSON.stringify(theirs)) counts.same++;
      else t.strictSame(ourView(own), theirs, shown);
    }
  }
  t.ok(counts.refused > 1_000 && counts.same > 1_000 && counts.strange < counts.same / 2, JSON.stringify(counts));
  t.end();
});

/** One certificate, and what makes it none. */
const sound = { key: newPair().publicKey, usage: [0], names: ["dns:a.example.org"] } satisfies Wanted;
const pair = newPair();
const bodyOf = (changes: Wanted) => certificateBody({ ...sound, ...changes }, pair.algorithm);
const whole = (changes: Wanted) => signed(bodyOf(changes), pair);

const BROKEN: readonly (readonly [string, Buffer])[] = [
  ["octets behind it", Buffer.concat([whole({}), Buffer.from([0])])],
  ["a second certificate behind it", Buffer.concat([whole({}), whole({})])],
  ["its last octet missing", whole({}).subarray(0, -1)],
  ["PEM", Buffer.from(pem("CERTIFICATE", whole({})))],
  ["nothing", Buffer.alloc(0)],
  ["a length in more octets than it takes", longerLength(whole({}))],
  ["an indefinite length", Buffer.concat([Buffer.from([0x30, 0x80]), whole({}).subarray(4), Buffer.from([0, 0])])],
  ["version 1", whole({ version: 0 })],
  ["version 4", whole({ version: 3 })],
  ["another algorithm within", whole({ algorithm: sequence(oid("1.2.840.10045.4.3.3")) })],
  ["an extension twice", whole({ more: [extension("2.5.29.17", sequence(text(0x82, "evil.example.org")))] })],
  ["no name among the names", whole({ names: [], more: [extension("2.5.29.17", sequence())] })],
  ["a NUL in a name", whole({ names: ["dns:a.example.org\0.evil.example"] })],
  ["a blank in a name", whole({ names: ["uri:spiffe://example.org/x, URI:spiffe://evil.org/admin"] })],
  ["a name outside ASCII", whole({ names: ["dns:ä.example.org"] })],
  ["an empty name", whole({ names: ["dns:"] })],
  [
    "octets behind the names",
    whole({ names: [], more: [extension("2.5.29.17", Buffer.concat([sequence(text(0x82, "a")), Buffer.from([0])]))] }),
  ],
  [
    "a boolean that is neither",
    whole({ more: [sequence(oid("1.2.3.4"), der(0x01, Buffer.from([1])), octets(Buffer.alloc(1)))] }),
  ],
  [
    "usage with zero bits at its end",
    whole({ usage: undefined, more: [extension("2.5.29.15", bits(Buffer.from([0x80]), 0))] }),
  ],
  [
    "30 February",
    Buffer.from(
      whole({ from: Date.UTC(2026, 1, 28) })
        .toString("latin1")
        .replace("260228", "260230"),
      "latin1",
    ),
  ],
  [
    "a time in another zone",
    Buffer.from(
      whole({ from: Date.UTC(2026, 1, 28) })
        .toString("latin1")
        .replace("260228000000Z", "2602280000+1"),
      "latin1",
    ),
  ],
  ["a negative serial number", Buffer.from(whole({ serial: 0x7f }).toString("hex").replace("02017f", "0201ff"), "hex")],
  ["a serial number that is too long", whole({ serial: 2n ** 200n })],
  [
    "an unfinished object identifier",
    whole({ more: [sequence(der(0x06, Buffer.from([0x2a, 0x83])), octets(Buffer.alloc(1)))] }),
  ],
  [
    "another spelling of an object identifier",
    whole({ more: [sequence(der(0x06, Buffer.from([0x2a, 0x80, 0x03])), octets(Buffer.alloc(1)))] }),
  ],
  [
    "a subject that is not UTF-8",
    whole({ subject: sequence(set(sequence(oid("2.5.4.3"), der(0x0c, Buffer.from([0xff]))))) }),
  ],
  [
    "octets behind an attribute of its subject",
    whole({ subject: sequence(set(sequence(oid("2.5.4.3"), text(0x0c, "alice"), text(0x0c, "admin")))) }),
  ],
  [
    "an object identifier with a number that no double holds",
    whole({ more: [sequence(der(0x06, Buffer.from("2affffffffffffffff7f", "hex")), octets(Buffer.alloc(1)))] }),
  ],
  ["a name of a kind that there is not", whole({ names: ["dns:a.example.org", text(0x89, "x")] })],
  ["a text for the depth of an authority", whole({ authority: sequence(boolean(true), text(0x0c, "x")) })],
  ["a number with a zero before it", whole({ authority: sequence(boolean(true), der(0x02, Buffer.from([0, 1]))) })],
  ["a depth that is too large", whole({ authority: sequence(boolean(true), integer(2 ** 31)) })],
  ["a length in seven octets", Buffer.concat([Buffer.from([0x30, 0x87, 1]), Buffer.alloc(6), whole({})])],
  [
    "more extensions than there is room for",
    whole({ more: Array.from({ length: 64 }, (_, n) => extension(`1.2.3.${n}`, none)) }),
  ],
  [
    "usage of more octets than there are bits",
    whole({ usage: undefined, more: [extension("2.5.29.15", bits(Buffer.from("0000000080", "hex"), 7))] }),
  ],
  ["two texts with a comma between them (CVE-2021-44532)", Buffer.from(VECTORS.nasty, "base64")],
  ["RFC 8705, appendix A, which is of version 1", Buffer.from(VECTORS.rfc8705, "base64")],
];

function longerLength(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x30, 0x83, 0]), bytes.subarray(2)]);
}

test("what two programs could read differently is no certificate", (t) => {
  t.strictSame(readCertificate(whole({})).names.dns, ["a.example.org"]);
  for (const [name, bytes] of BROKEN) t.equal(read(bytes), undefined, name);
  t.end();
});

test("no value reaches past the end of what holds it, nor is it larger than any there is", (t) => {
  const held = (length: number) => new Der(Buffer.from([0x30, 3, 0x16, length, 0x61, 0x62])).inside(0x30);
  t.equal(held(1).ascii(), "a");
  t.throws(() => held(2).ascii(), { name: "DerError" });
  const large = Buffer.concat([Buffer.from([4, 0x84, 1, 0, 0, 0]), Buffer.alloc(1 << 24)]);
  t.throws(() => new Der(large).content(4), { name: "DerError" });
  t.end();
});

test("a certificate has so many names, and with one more it is none", (t) => {
  const names = (count: number) =>
    new Der(sequence(...Array.from({ length: count }, (_, n) => text(0x82, `h${n}.example.org`))));
  t.equal(readNames(names(1024)).dns.length, 1024);
  t.throws(() => readNames(names(1025)), { name: "DerError" });
  t.end();
});

test("a distinguished name has one text, and no two names have the same", (t) => {
  const of = (attributes: Readonly<Record<string, string>>) => distinguishedName(nameOf(attributes));
  t.equal(of({}), "");
  t.equal(of({ "2.5.4.10": "Acme", "2.5.4.3": "alice" }), "CN=alice,O=Acme");
  t.equal(of({ "2.5.4.3": "evil, CN=admin" }), "CN=evil\\, CN=admin");
  t.equal(of({ "2.5.4.3": ' #"+;<>\\ ' }), 'CN=\\ #\\"\\+\\;\\<\\>\\\\\\ ');
  t.equal(of({ "2.5.4.3": "#1" }), "CN=\\#1");
  t.equal(of({ "2.5.4.3": "ü" }), "CN=ü");
  t.equal(of({ "2.5.4.5": "7" }), "2.5.4.5=#0c0137", "one without a name of its own");
  const several = sequence(set(sequence(oid("2.5.4.3"), text(0x0c, "a")), sequence(oid("2.5.4.11"), text(0x13, "b"))));
  t.equal(distinguishedName(several), "CN=a+OU=b");
  const teletex = sequence(set(sequence(oid("2.5.4.3"), der(0x14, Buffer.from("a")))));
  t.equal(distinguishedName(teletex), "CN=#140161", "and one that is no text");
  t.end();
});

test("a SPIFFE id is what its standard says, letter by letter", (t) => {
  for (const id of ["spiffe://example.org/a", "spiffe://a_b.example-1/ns/A.b/sa/_-", `spiffe://e/${"a".repeat(2036)}`])
    t.ok(spiffeId(id), id.slice(0, 40));
  t.strictSame(spiffeId("spiffe://example.org"), { trustDomain: "example.org", path: "" });
  for (const text of [
    "spiffe://Example.org/a",
    "SPIFFE://example.org/a",
    "spiffe:/example.org/a",
    "spiffe://example.org/a/",
    "spiffe://example.org//a",
    "spiffe://example.org/./a",
    "spiffe://example.org/a/..",
    "spiffe://example.org/%61",
    "spiffe://example.org/ä",
    "spiffe://example.org:8080/a",
    "spiffe://me@example.org/a",
    "spiffe://example.org/a?b",
    "spiffe://example.org/a#b",
    "spiffe:///a",
    " spiffe://example.org/a",
    "spiffe://example.org/a\n",
    `spiffe://${"e".repeat(256)}/a`,
    `spiffe://e/${"a".repeat(2038)}`,
  ])
    t.equal(spiffeId(text), undefined, text.slice(0, 40));
  t.end();
});

test("a list of revocations is whole, and about all of an authority's certificates", (t) => {
  const authority = new Authority("Acme");
  const list = (changes = {}) => authority.revoke([1, 0x80, 2n ** 100n], changes);
  t.strictSame([...readRevocations(list()).serials], ["01", "0080", "10000000000000000000000000"]);
  t.equal(readRevocations(authority.revoke([])).serials.size, 0);
  const point = extension("2.5.29.28", sequence(der(0x82, Buffer.from([0xff]))), true);
  const delta = extension("2.5.29.27", integer(1), true);
  for (const [name, bytes] of [
    ["of some certificates", list({ more: [point] })],
    ["of what is new", list({ more: [delta] })],
    ["cut off", list().subarray(0, -1)],
    ["with more behind it", Buffer.concat([list(), Buffer.from([0])])],
    ["without the next one's time", withoutNext(authority)],
    ["of others' certificates", ofOthers(authority)],
    ["of another version", versioned(authority, 0)],
    ["with another algorithm within", versioned(authority, 1, sequence(oid("1.2.840.10045.4.3.3")))],
  ] as const)
    t.throws(() => readRevocations(bytes), { name: "DerError" }, name);
  t.end();
});

function withoutNext({ pair, subject }: Authority): Buffer {
  return signed(sequence(integer(1), pair.algorithm, subject, text(0x17, "261128000000Z")), pair);
}

function versioned({ pair, subject }: Authority, version: number, algorithm = pair.algorithm): Buffer {
  const times = [text(0x17, "261128000000Z"), text(0x17, "271128000000Z")];
  return signed(sequence(integer(version), algorithm, subject, ...times), pair);
}

/** An entry that names another authority (RFC 5280, section 5.3.3). */
function ofOthers({ pair, subject }: Authority): Buffer {
  const other = extension("2.5.29.29", sequence(der(0xa4, nameOf({ "2.5.4.3": "Other" }))), true);
  const entry = sequence(integer(7), text(0x17, "261128000000Z"), sequence(other));
  const times = [text(0x17, "261128000000Z"), text(0x17, "271128000000Z")];
  return signed(sequence(integer(1), pair.algorithm, subject, ...times, sequence(entry)), pair);
}

test("a PEM file has blocks of one kind, all of them whole", (t) => {
  const bytes = whole({});
  const block = pem("CERTIFICATE", bytes);
  t.strictSame(pemBlocks(`# Acme\n${block}\n${block.replaceAll("\n", "\r\n")}`, "CERTIFICATE"), [bytes, bytes]);
  t.equal(pemBlocks("", "CERTIFICATE"), "without a block `CERTIFICATE`");
  t.equal(pemBlocks(block + pem("PRIVATE KEY", Buffer.alloc(9)), "CERTIFICATE"), "with a block `PRIVATE KEY`");
  const cut = "with a block that does not end, or is not base64";
  t.equal(pemBlocks(block + block.slice(0, -10), "CERTIFICATE"), cut);
  t.equal(pemBlocks(block.replace("\nM", "\n*"), "CERTIFICATE"), cut);
  t.end();
});
