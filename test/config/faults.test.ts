import { join } from "node:path";
import { test } from "tap";
import { parse } from "yaml";
import schema from "../../agent/config/config.schema.json" with { type: "json" };
import { loadConfig } from "../../agent/config/load-config.ts";
import { ISSUER_TYPES } from "../../agent/identity/types.ts";
import { faultText } from "../../policies/fault.ts";
import { knownKeys, type Schema, schemaAt } from "../../policies/source/schema.ts";
import { nearest } from "../../policies/source/validate.ts";
import {
  AUTHORITY,
  Authority,
  extension,
  PAIRS,
  pem,
  SERVER_CERTIFICATE,
  SERVER_KEY,
} from "../support/certificates.ts";
import { EVERY_KEY, env, Files, file, SHORTEST } from "./example.ts";
import { MISTAKES } from "./mistakes.ts";

const BROKEN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const SECRET = "hunter2 {}";

test("each mistake is told where it is, with what was found and what would be right", (t) => {
  const files = new Files(t.testdir());
  files.write("broken.pem", BROKEN);
  for (const [from, to, ...expected] of MISTAKES) {
    t.ok(EVERY_KEY.includes(from), from);
    t.strictSame(files.faults(EVERY_KEY.replace(from, () => to)), expected, to);
  }
  t.end();
});

test("no key is without a mistake in the table", (t) => {
  const told = new Set(MISTAKES.flatMap(([, , ...faults]) => faults.map((fault) => fault.split(":")[0])));
  for (const { line, key, leaf } of keysOf(EVERY_KEY)) if (leaf) t.ok(told.has(String(line)), key);
  t.end();
});

test("a misspelt key is told with the one that was meant, and nothing else", (t) => {
  const files = new Files(t.testdir());
  for (const { line, column, key, path } of keysOf(EVERY_KEY)) {
    const lines = EVERY_KEY.split("\n");
    const misspelt = `${key}${key.at(-1)}`;
    lines[line - 1] = lines[line - 1]?.replace(`${key}:`, `${misspelt}:`) ?? "";
    const known = knownKeys(schemaAt(schema as Schema, path.slice(0, -1), parse(EVERY_KEY))).join(", ");
    const unknown = `${line}:${column}: unknown key "${misspelt}"; did you mean "${key}"? Known keys: ${known}`;
    // One of these without the other is a mistake of its own.
    const isKey = key === "key" && path.includes("client");
    const others = isKey || ["from", "trusted", "server_name"].includes(key) ? 1 : 0;
    const faults = files.faults(lines.join("\n"));
    t.ok(faults.includes(unknown), unknown);
    t.equal(faults.length, 1 + others, key);
  }
  t.end();
});

test("a value of the wrong type is told once, at the value", (t) => {
  const files = new Files(t.testdir());
  for (const { line, column, key } of keysOf(EVERY_KEY)) {
    const [value, found] = ["backup", "nonces"].includes(key) ? ["7", "the number 7"] : ["true", "true"];
    const faults = files.faults(withValue(line, value));
    t.equal(faults.length, 1, key);
    t.equal(faults[0]?.split(";")[0], `${line}:${column + key.length + 2}: ${found}`);
  }
  t.end();
});

test("a value that was put in is never shown", (t) => {
  const files = new Files(t.testdir());
  files.write("secret", SECRET);
  for (const reference of [env("SECRET"), file("secret")]) {
    let faults = 0;
    for (const { line } of keysOf(EVERY_KEY)) {
      for (const value of [`"${reference}"`, `["${reference}", "${reference}"]`, `{ x: "${reference}" }`]) {
        const told = files.faults(withValue(line, value), { SECRET });
        t.notMatch(told.join("\n"), /hunter2/);
        faults += told.length;
      }
    }
    t.ok(faults > 100);
  }
  const [fault] = files.faults(
    SHORTEST.replace("https://example.com", () => `"${env("URL")}"`),
    { URL: "http://hunter2" },
  );
  t.equal(fault?.split(";")[0], `3:40: the text ${JSON.stringify(env("URL"))}`);
  const password = SHORTEST.replace("https://example.com", "ftp://alice:hunter2@example.com");
  t.notMatch(files.faults(password).join("\n"), /hunter2/);
  t.end();
});

test("a reference that leads to nothing is told where it is", (t) => {
  const files = new Files(t.testdir({ run: {} }));
  files.write("large", Buffer.alloc(70_000, "a"));
  files.write("binary", Uint8Array.of(0xff, 0xfe, 0));
  const unreadable = (name: string, problem: string) =>
    `3:73: ${name} cannot be read: ${problem}; a readable file of at most 65536 bytes`;
  const cases: readonly (readonly [reference: string, fault: string])[] = [
    [env("NONE"), "3:73: the environment has no NONE; set the variable, or write its value here"],
    [env("toString"), "3:73: the environment has no toString; set the variable, or write its value here"],
    [file("none"), unreadable("none", "there is no such file")],
    [file("run"), unreadable("run", "it is a directory")],
    [file("large"), unreadable("large", "it has more than 65536 bytes")],
    [file("binary"), unreadable("binary", "it is not UTF-8")],
    [`${"$"}{HOME}`, `3:73: the reference "${"$"}{HOME}"; ${env("NAME")} or ${file("PATH")}`],
    [env(""), `3:73: the reference "${env("")}"; ${env("NAME")} or ${file("PATH")}`],
    [`${"$"}{env:A`, `3:73: the reference "${"$"}{env:A"; ${env("NAME")} or ${file("PATH")}`],
  ];
  for (const [reference, expected] of cases) {
    t.strictSame(files.faults(SHORTEST.replace("[orders]", () => `["${reference}"]`)), [expected], reference);
  }
  const device = files.faults(SHORTEST.replace("[orders]", () => `["${file("/dev/zero")}"]`));
  t.strictSame(device, [unreadable("/dev/zero", "it is not a plain file")]);
  t.end();
});

test("all mistakes of a file are told at once, in its order", (t) => {
  const files = new Files(t.testdir());
  const text = `listen: { spop: [0.0.0.0:9000], admn: 127.0.0.1:9901 }
policies: "${env("NONE")}"
issuers:
  a: { type: oidc, issuer: https://example.com, audiences: [] }
  b: { type: oidc, issuer: https://example.com, audiences: [x], keys: { refresh: 1s } }
haproxy: { version: "3.2", scheme: ftp }
deadline: 1m
cache: { identities: none }
`;
  t.strictSame(
    files.faults(text).map((fault) => fault.split(";")[0]),
    [
      '1:18: the text "0.0.0.0:9000"',
      '1:33: unknown key "admn"',
      "2:11: the environment has no NONE",
      "4:60: an empty list",
      '5:28: the text "https://example.com"',
      '5:82: the text "1s"',
      '6:1: no "bind" here',
      '6:36: the text "ftp"',
      '7:11: the text "1m"',
      '8:22: the text "none"',
    ],
  );
  t.end();
});

test("two issuers of one URL are told with both places", (t) => {
  const files = new Files(t.testdir());
  const text = SHORTEST.replace(
    "issuers: {",
    "issuers: { b: { type: oidc, issuer: https://example.com, audiences: [x] },",
  );
  t.strictSame(files.faults(text), [
    '3:104: the text "https://example.com"; a URL of its own: that of the issuer at countersign.yaml:3:12 is the same',
  ]);
  t.strictSame(files.faults(text.replace("example.com", "example.com/")), [], "another iss is another issuer");
  t.end();
});

test("a header of credentials has one origin, whoever takes them", (t) => {
  const files = new Files(t.testdir());
  const faults = (one: string, other: string) => {
    const issuer = (url: string, from: string) =>
      `{ type: oidc, issuer: "https://${url}.example", audiences: [x], credentials: [authorization, { header: x-a, from: ${from} }] }`;
    return files.faults(
      SHORTEST.replace(/^issuers: .*$/m, `issuers: { a: ${issuer("a", one)}, b: ${issuer("b", other)} }`),
    );
  };
  t.strictSame(faults("client", "client"), []);
  t.strictSame(faults("[10.0.0.1, 10.0.0.2]", "[10.0.0.2, 10.0.0.1]"), []);
  const right = "a mapping; the same `from` for one header as the issuer at countersign.yaml:3:12 has";
  t.strictSame(faults("client", "[10.0.0.1]"), [`3:228: ${right}`]);
  t.strictSame(faults("[10.0.0.1]", "client"), [`3:232: ${right}`]);
  t.strictSame(faults("[10.0.0.1]", "[10.0.0.1, 10.0.0.2]"), [`3:232: ${right}`]);
  t.end();
});

test("a file that is no configuration at all", (t) => {
  const files = new Files(t.testdir());
  const words =
    "the configuration, a mapping of `listen`, `policies`, `issuers`, `haproxy` and others: what the agent listens on, whose tokens it takes, and what HAProxy is rendered from";
  t.strictSame(files.faults(""), [`1:1: nothing; ${words}`]);
  t.strictSame(files.faults("- a\n"), [`1:1: a list; ${words}`]);
  t.strictSame(
    files.faults("{}").map((fault) => fault.split(";")[0]),
    ['1:1: no "listen" here', '1:1: no "policies" here', '1:1: no "issuers" here', '1:1: no "haproxy" here'],
  );
  const right = "a readable configuration file; `countersign init` writes one";
  t.strictSame(files.faults(Uint8Array.of(0xff)), [`1:1: it cannot be read: it is not UTF-8; ${right}`]);
  t.strictSame(files.faults("#".repeat((1 << 20) + 1)), [
    `1:1: it cannot be read: it has more than 1048576 bytes; ${right}`,
  ]);
  const absent = loadConfig(join(files.directory, "none.yaml"), {}, ISSUER_TYPES);
  t.strictSame("faults" in absent && absent.faults.map(faultText), [
    `${files.directory}/none.yaml:1:1: it cannot be read: there is no such file; ${right}`,
  ]);
  t.end();
});

test("names that JavaScript's objects have of their own are names like others", (t) => {
  const files = new Files(t.testdir());
  const loaded = files.load(SHORTEST.replace("okta:", "constructor:"));
  t.strictSame("config" in loaded && loaded.config.issuers.map(({ name }) => name), ["constructor"]);
  const [fault] = files.faults(`${SHORTEST}toString: 1\n`);
  t.equal(fault?.split(";")[0], '5:1: unknown key "toString"');
  t.match(files.faults(SHORTEST.replace("scheme: http", "scheme: valueOf"))[0], /^4:36: the text "valueOf"/);
  t.end();
});

test("what there can be too much of has an end", (t) => {
  const files = new Files(t.testdir());
  const many = (count: number, item: (index: number) => string) =>
    Array.from({ length: count }, (_, i) => item(i)).join(", ");
  const cases: readonly (readonly [from: string, to: string, fault: string])[] = [
    ["[orders]", `[${many(65, (i) => `a${i}`)}]`, "3:72: too long a list; at most 64 items"],
    ["[orders]", `[${"a".repeat(1025)}]`, "3:73: too long a text; at most 1024 characters"],
    ["scheme: http", `backends: { ${many(1025, (i) => `b${i}: [a:1]`)} }`, "4:38: too many keys; at most 1024 keys"],
    ["[127.0.0.1:9000]", `[${many(17, (i) => `127.0.0.1:${9000 + i}`)}]`, "1:17: too long a list; at most 16 items"],
  ];
  for (const [from, to, expected] of cases) t.strictSame(files.faults(SHORTEST.replace(from, to)), [expected]);
  t.end();
});

/** What an issuer of certificates may have in its files, and what it may not. */
const AUTHORITIES: readonly (readonly [name: string, section: string, ...faults: string[]])[] = [
  ["one authority", "identity: dns, ca: acme.pem"],
  ["several", "identity: spiffe, trust_domain: example.org, ca: all.pem"],
  ["a list of revocations", "identity: subject, ca: acme.pem, crl: acme-crl.pem, kind: person, audiences: [a]"],
  [
    "no identity",
    "ca: acme.pem",
    '3:12: no "identity" here; what of a certificate says whose it is: `spiffe` for its SPIFFE id, `dns` for its DNS name, `subject` for its distinguished name',
  ],
  [
    "no ca",
    "identity: dns",
    '3:12: no "ca" here; a PEM file with the certificates of the authorities that sign the clients\' own',
  ],
  [
    "no trust domain",
    "identity: spiffe, ca: acme.pem",
    "3:22: `identity: spiffe` without a `trust_domain`; `trust_domain`, the part of the SPIFFE ids behind `spiffe://`: these authorities vouch for no other",
  ],
  [
    "a trust domain too many",
    "identity: dns, trust_domain: example.org, ca: acme.pem",
    '3:79: the text "example.org"; no trust domain: only `identity: spiffe` has one',
  ],
  [
    "a trust domain in capitals",
    "identity: spiffe, trust_domain: Example.org, ca: acme.pem",
    '3:82: the text "Example.org"; the trust domain that the authorities sign for: lower-case letters, digits, `.`, `_` and `-`, such as "example.org"',
  ],
  ...(
    [
      ["gone.pem", " that cannot be read: there is no such file"],
      ["empty.pem", " without a block `CERTIFICATE`"],
      ["key.pem", " with a block `PRIVATE KEY`"],
      ["cut.pem", " with a block that does not end, or is not base64"],
      ["broken.pem", " whose certificate 1 is broken"],
      ["second.pem", " whose certificate 2 is no authority's: its basicConstraints do not say cA"],
      ["unusual.pem", " whose certificate 1 has the critical extension 1.2.3.4, which is not known here"],
      ["unsigning.pem", " whose certificate 1 is not for signing others: its keyUsage says so"],
      ["weak.pem", " whose certificate 1 has a key that is weak, or of a kind that is not known here"],
    ] as const
  ).map(
    ([file, found]) =>
      [
        `a ca ${file}`,
        `identity: dns, ca: ${file}`,
        `3:69: the text "${file}", a file${found}; a PEM file with the certificates of the authorities that sign the clients' own, and nothing else`,
      ] as const,
  ),
  [
    "the authority of another trust domain",
    "identity: spiffe, trust_domain: example.org, ca: other.pem",
    "3:99: a file whose certificate 1 is that of the trust domain other.example; the authorities of this trust domain alone, and an issuer of its own for each other",
  ],
  ...(
    [
      ["acme.pem", " with a block `CERTIFICATE`"],
      ["other-crl.pem", " whose list 1 is signed by none of the authorities in `ca`"],
      ["renamed-crl.pem", " whose list 1 is signed by none of the authorities in `ca`"],
      ["forged-crl.pem", " whose list 1 is signed by none of the authorities in `ca`"],
      [
        "delta-crl.pem",
        " whose list 1 is broken, does not say when the next one comes, or is about some certificates only",
      ],
    ] as const
  ).map(
    ([file, found]) =>
      [
        `a crl ${file}`,
        `identity: dns, ca: acme.pem, crl: ${file}`,
        `3:84: the text "${file}", a file${found}; a PEM file with a list of revocations (CRL) of each authority in \`ca\`, whole and signed by it`,
      ] as const,
  ),
  [
    "a list by an authority that is not for signing any",
    "identity: dns, ca: unlisting.pem, crl: unlisting-crl.pem",
    '3:89: the text "unlisting-crl.pem", a file whose list 1 is signed by none of the authorities in `ca`; a PEM file with a list of revocations (CRL) of each authority in `ca`, whole and signed by it',
  ],
];

test("the files of an issuer of certificates are of authorities, and tell what is wrong with them", (t) => {
  const files = new Files(t.testdir());
  const other = new Authority("Other", { names: ["uri:spiffe://other.example"] });
  const [acme, namesake] = [new Authority("Acme"), new Authority("Acme")];
  const certificates = (...all: readonly { readonly pem: string }[]) => all.map(({ pem }) => pem).join("\n# next\n");
  const lists = (...all: readonly Buffer[]) => all.map((list) => pem("X509 CRL", list)).join("");
  const leaf = acme.issue({ names: ["dns:a"] });
  files.write("acme.pem", certificates(acme));
  files.write("all.pem", certificates(acme, namesake));
  files.write("other.pem", certificates(other));
  files.write("empty.pem", "");
  files.write("key.pem", certificates(acme) + leaf.key);
  files.write("cut.pem", certificates(acme).slice(0, -9));
  files.write("broken.pem", pem("CERTIFICATE", acme.der.subarray(0, -1)));
  files.write("second.pem", certificates(acme, leaf));
  files.write("unusual.pem", certificates(new Authority("A", { more: [extension("1.2.3.4", Buffer.alloc(1), true)] })));
  files.write("unsigning.pem", certificates(new Authority("A", { usage: [0] })));
  const unlisting = new Authority("A", { usage: [5] });
  files.write("unlisting.pem", certificates(unlisting));
  files.write("unlisting-crl.pem", lists(unlisting.revoke([1])));
  files.write("weak.pem", certificates(new Authority("A", {}, PAIRS.rsa1024())));
  files.write("acme-crl.pem", lists(acme.revoke([1])));
  files.write("other-crl.pem", lists(other.revoke([1])));
  files.write("renamed-crl.pem", lists(new Authority("Other", {}, acme.pair).revoke([1])));
  files.write("forged-crl.pem", lists(namesake.revoke([1])));
  files.write(
    "delta-crl.pem",
    lists(acme.revoke([1], { more: [extension("2.5.29.27", Buffer.from([2, 1, 1]), true)] })),
  );
  const withIssuer = (section: string) =>
    SHORTEST.replace(/^issuers: .*$/m, `issuers: { machines: { type: client-certificate, ${section} } }`);
  for (const [name, section, ...faults] of AUTHORITIES) t.strictSame(files.faults(withIssuer(section)), faults, name);
  t.end();
});

test("no two issuers of certificates have an authority or a trust domain in common", (t) => {
  const files = new Files(t.testdir());
  const acme = new Authority("Acme");
  files.write("acme.pem", acme.pem);
  files.write("renewed.pem", new Authority("Acme", { serial: 2 }, acme.pair).pem + new Authority("Other").pem);
  files.write("other.pem", new Authority("Other").pem);
  const faults = (one: string, other: string) => {
    const issuer = (section: string) => `{ type: client-certificate, ${section} }`;
    return files
      .faults(SHORTEST.replace(/^issuers: .*$/m, `issuers: { a: ${issuer(one)}, b: ${issuer(other)} }`))
      .join();
  };
  const dns = (file: string) => `identity: dns, ca: ${file}`;
  const svids = (domain: string, file: string) => `identity: spiffe, trust_domain: ${domain}, ca: ${file}`;
  const right = "what no other issuer has: of this and the one at countersign.yaml:3:12 neither could be told";
  t.equal(faults(dns("acme.pem"), dns("other.pem")), "");
  t.equal(faults(dns("acme.pem"), svids("a", "acme.pem")), "", "an SVID is told from other certificates");
  t.equal(faults(svids("a", "acme.pem"), svids("b", "other.pem")), "");
  t.match(faults(dns("acme.pem"), dns("renewed.pem")), `the text "renewed.pem"; ${right}`, "the same key, anew");
  t.match(faults(dns("acme.pem"), "identity: subject, ca: acme.pem"), `the text "acme.pem"; ${right}`);
  t.match(faults(svids("a", "acme.pem"), svids("b", "acme.pem")), `the text "acme.pem"; ${right}`);
  t.match(faults(svids("a", "acme.pem"), svids("a", "other.pem")), `the text "a"; ${right}`);
  t.end();
});

test("certificates that no bind asks for are warned of", (t) => {
  const files = new Files(t.testdir());
  files.write("acme.pem", new Authority("Acme").pem);
  const section = "issuers: { m: { type: client-certificate, identity: dns, ca: acme.pem } }";
  const bound =
    "issuers: { m: { type: oidc, issuer: https://a.example, audiences: [a], proofs: [certificate], unbound: refuse } }";
  const warnings = (bind: string, issuers = section) => {
    const loaded = files.load(SHORTEST.replace(/^issuers: .*$/m, issuers).replace('"*:80"', bind));
    return "config" in loaded ? loaded.warnings.map(({ found }) => found) : loaded.faults;
  };
  const none = ['no `bind` asks clients for the certificates that the issuer "m" takes'];
  t.strictSame(warnings('"*:443 ssl crt a.pem"'), none);
  t.strictSame(warnings('"*:443 ssl crt a.pem"', bound), none, "as the proof of a token");
  t.strictSame(warnings('"*:443 ssl crt a.pem ca-file b.pem verify none"'), none);
  t.strictSame(warnings('"*:80", "*:443 ssl crt a.pem ca-file b.pem verify optional"'), []);
  t.strictSame(warnings('"*:443 ssl crt a.pem verify required ca-file b.pem"'), []);
  t.end();
});

test("meshed clients are told from others by one bind, one mesh and one pod", (t) => {
  const files = new Files(t.testdir());
  const faults = (section: string, change: (text: string) => string = (text) => text, more = "") => {
    const issuers = `issuers: { m: { type: mesh, ${section} }${more} }`;
    return files.faults(change(SHORTEST.replace(/^issuers: .*$/m, issuers)));
  };
  const good = 'bind: "*:8081", pods: { app: haproxy }';
  t.strictSame(faults(good), []);
  t.strictSame(faults(`${good}, namespaces: [shop], trust_domain: a.example, control_plane: l5d, kind: agent`), []);
  const warned = (text: string) => {
    const loaded = files.load(text.replace(/^issuers: .*$/m, `issuers: { m: { type: mesh, ${good} } }`));
    return "config" in loaded ? loaded.warnings.map(({ found }) => found) : loaded.faults;
  };
  t.match(warned(SHORTEST), [/meshed clients, and nothing that says whose pods HAProxy's are/]);
  t.strictSame(warned(`${SHORTEST}\nmesh: { identity: haproxy.ingress }\n`), []);
  const mesh = (text: string) => `${text}\nmesh: { trust_domain: a.example, identity: haproxy.ingress }\n`;
  t.match(faults(good, mesh), [/`trust_domain: a.example`, as `mesh` says it/]);
  t.strictSame(faults(`${good}, trust_domain: a.example`, mesh), []);
  t.match(faults(`${good}, trust_domain: a.example, control_plane: other`, mesh), [
    /"other"; `control_plane: linkerd`/,
  ]);
  const named = (text: string) => text.replace('"*:80"', '"*:80 name countersign-mesh"');
  t.match(faults(good, named), [/another name than countersign-mesh/]);
  const far = (text: string) =>
    text.replace(
      /spop: \[[^\]]*\]/,
      "spop: [{ address: 10.0.0.5:9000, tls: { cert: agent.pem, key: agent.key, client_ca: ca.pem } }]",
    );
  files.write("agent.pem", SERVER_CERTIFICATE);
  files.write("agent.key", SERVER_KEY);
  files.write("ca.pem", AUTHORITY);
  t.match(faults(good, far), [/HAProxys of other pods can ask; loopback addresses and unix sockets in `listen.spop`/]);
  t.match(faults(good, undefined, `, n: { type: mesh, ${good} }`), [/one issuer for both/]);
  for (const [from, to, right] of [
    ['bind: "*:8081", ', "", /where HAProxy takes what meshed clients send/],
    ['"*:8081"', '"8081"', /where HAProxy takes what meshed clients send/],
    ['"*:8081"', '"*:8081 accept-proxy"', /where HAProxy takes what meshed clients send/],
    ['"*:8081"', '"*:70000"', /a port from 1 to 65535/],
    ['"*:8081"', '"127.0.0.1:8081"', /an address that the pod has in the network/],
    ['"*:8081"', '"127.1.2.3:8081"', /an address that the pod has in the network/],
    ['"*:8081"', '"[::1]:8081"', /an address that the pod has in the network/],
    ['"*:8081"', '"[::ffff:127.0.0.1]:8081"', /an address that the pod has in the network/],
    [", pods: { app: haproxy }", "", /the labels of HAProxy's own pods/],
    ["{ app: haproxy }", "{ app: haproxy }, admin: 'http://10.0.0.5:4191'", /a loopback address and a port/],
    ["{ app: haproxy }", "{ app: haproxy }, admin: 'https://127.0.0.1:4191'", /a loopback address and a port/],
    ["{ app: haproxy }", "{ app: haproxy }, namespaces: ['*']", /the name of a namespace/],
    ["{ app: haproxy }", "{ app: haproxy }, namespaces: []", /a list of the namespaces/],
  ] as const) {
    t.ok(good.includes(from), from);
    t.match(faults(good.replace(from, to)), [right], to);
  }
  t.end();
});

test("the name that was probably meant", (t) => {
  const cases: readonly (readonly [name: string, candidates: string, nearest: string | undefined])[] = [
    ["isuer", "issuer subject", "issuer"],
    ["GROUP", "groups group", "group"],
    ["recieve", "receive", "receive"],
    ["separate-readers", "seperate-reader orders-reader", "seperate-reader"],
    ["abc", "xyz", undefined],
    ["a", "b c", undefined],
    ["orders", "", undefined],
    ["o".repeat(100), "o".repeat(99), undefined],
  ];
  for (const [name, candidates, expected] of cases) t.equal(nearest(name, candidates.split(" ")), expected, name);
  t.end();
});

interface Key {
  readonly line: number;
  readonly column: number;
  readonly key: string;
  readonly path: readonly (string | number)[];
  /** Its value stands on the same line. */
  readonly leaf: boolean;
}

/** The schema's keys in a text of one key a line; names that the reader gives are none. */
function keysOf(text: string): readonly Key[] {
  const path: { readonly indent: number; readonly step: string | number }[] = [];
  return text.split("\n").flatMap((line, index) => {
    const [, blanks = "", dash = "", key] = /^( *)(- )?([a-z_]+):(?: |$)/.exec(line) ?? [];
    if (key === undefined) return [];
    const indent = blanks.length + dash.length;
    while ((path.at(-1)?.indent ?? -1) >= blanks.length) path.pop();
    if (dash !== "") path.push({ indent: blanks.length, step: 0 });
    path.push({ indent, step: key });
    if (["okta", "cluster", "google", "closed", "bots", "token_use", "orders", "legacy", "files"].includes(key))
      return [];
    // The other issuers are there for what the first one cannot have as well.
    if (["type", "issuer", "audiences"].includes(key) && path[1]?.step !== "okta") return [];
    return [
      { line: index + 1, column: indent + 1, key, path: path.map(({ step }) => step), leaf: !line.endsWith(":") },
    ];
  });
}

/** The configuration with every key, but another value for the key of a line. */
function withValue(line: number, value: string): string {
  const lines = EVERY_KEY.split("\n");
  const indentOf = (text = "") => text.search(/[^ -]|$/);
  const own = lines[line - 1] ?? "";
  const below = lines.slice(line);
  const end = below.findIndex((other) => indentOf(other) <= indentOf(own));
  return [...lines.slice(0, line - 1), `${own.split(":")[0]}: ${value}`, ...below.slice(end)].join("\n");
}

test("proofs that each worker would remember for itself are a fault, and so are nonces that each would make of its own", (t) => {
  const files = new Files(t.testdir());
  const faults = (more: string, proofs = "[dpop]") =>
    files.faults(`${SHORTEST.replace("[orders]", `[orders], proofs: ${proofs}`)}${more}`);
  const unshared =
    "5:10: several workers, each of which remembers only the proofs that have come to itself; one worker, or a `dpop.store` that they share";
  t.strictSame(faults("workers: 2\n"), [unshared]);
  t.strictSame(faults("workers: 2\ndpop: { nonces: true }\n"), [
    unshared,
    "6:17: true; a `secret` beside it: with several workers, each would refuse the nonces of the others",
  ]);
  const store = "store: { url: redis://127.0.0.1 }";
  t.strictSame(faults(`workers: 2\ndpop: { nonces: true, secret: ${"s".repeat(32)}, ${store} }\n`), []);
  t.strictSame(faults(`workers: 2\ndpop: { ${store} }\n`), []);
  t.strictSame(faults("workers: 1\ndpop: { nonces: true }\n"), []);
  t.strictSame(faults("workers: 2\n", "[certificate]"), []);
  t.strictSame(faults("", "[certificate, dpop], credentials: [{ cookie: token }]"), [
    '3:104: the text "dpop"; `authorization` among its `credentials`: a token with a DPoP proof stands in no other place',
  ]);
  t.strictSame(faults("", "[certificate], credentials: [{ cookie: token }]"), []);
  t.end();
});

test("what is wrong with logins and sessions is told with its place", (t) => {
  const files = new Files(t.testdir());
  files.write("brand.css", "h1 { color: green }");
  const whole = `${SHORTEST.replace("127.0.0.1:9000] }", "127.0.0.1:9000], web: 127.0.0.1:9902 }").replace(
    "[orders] }",
    "[orders], login: { client: { id: a, secret: b }, scopes: [openid, email], prompt: login } }",
  )}sessions: { origins: [https://a.example], keys: session-keys.json, idle: 1h, lifetime: 8h, stylesheet: brand.css }\n`;
  t.strictSame(files.faults(whole), []);
  const faults = (from: string, to: string) => files.faults(whole.replace(from, to));
  for (const [from, to, fault] of [
    [/^sessions.*$/m.exec(whole)?.[0] ?? "", "", /^3:.*`sessions` beside `issuers`/],
    [", web: 127.0.0.1:9902", "", /^5:.*`listen: \{ web: 127.0.0.1:9902 \}` beside it/],
    ["[openid, email]", "[email]", /^3:\d+: .*`openid` among them/],
    [
      "login: {",
      "discovery: false, keys: { file: keys.json }, login: {",
      /no `login` at an issuer without a discovery/,
    ],
    ["login: {", "proofs: [certificate], unbound: refuse, login: {", /no `login` beside `unbound: refuse`/],
    ["prompt: login", "logout: { backchannel: true }", /^3:\d+: .*true; .*`sessions: \{ store: \{ url: redis:/],
    ["prompt: login", "logout: { backchanel: false }", /^3:\d+: unknown key "backchanel"; did you mean "backchannel"/],
    ["prompt: login", "promt: login", /^3:\d+: unknown key "promt"; did you mean "prompt"\?/],
    ["https://a.example]", "https://a.example/]", /^5:23: .*what browsers have before the path/],
    ["https://a.example]", "http://a.example]", /^5:23: .*http is for loopback only/],
    ["https://a.example]", '"https://A.example"]', /^5:23: .*what browsers have before the path/],
    ["https://a.example]", '"https://*.example"]', /^5:23: .*what browsers have before the path/],
    [
      "keys: session-keys.json",
      "keys: absent.json",
      /^5:\d+: .*absent.json": it cannot be read: there is no such file/,
    ],
    [
      "keys: session-keys.json",
      "keys: assertion-keys.json",
      /^5:\d+: .*`countersign keys rotate FILE --algorithm A256GCM`/,
    ],
    ["idle: 1h", "idle: 9h", /^5:\d+: .*at most `lifetime`/],
    ["idle: 1h", "idle: 1s", /^5:\d+: the text "1s"; from 1m to 720h/],
    [
      "stylesheet: brand.css",
      "stylesheet: absent.css",
      /^5:\d+: .*absent.css" names a file that cannot be read: there is no such file/,
    ],
    ["stylesheet: brand.css", "cookie: sid", /^5:\d+: the text "sid"; the session cookie's name/],
  ] as const) {
    const found = faults(from, to);
    t.match(found[0], fault, to);
    t.equal(found.length, 1, `${to}: ${found.join(" | ")}`);
  }
  t.end();
});
