import { type Test, test } from "tap";
import { CREDENTIAL_KINDS, type CredentialKind } from "../../haproxy/credentials.ts";
import type { HaproxyBinary } from "../support/haproxy.ts";

// Rows that exist only here, before anything reads the table: all that follows knows of them by it alone.
(CREDENTIAL_KINDS as CredentialKind[]).push(
  {
    name: "ticket",
    rank: "header",
    argument: "ticket",
    sample: "req.fhdr(x-ticket)",
    sent: "where an issuer takes it",
    meaning: "a ticket",
    count: "req.fhdr_cnt(x-ticket)",
    strip: [{ action: "del-header x-ticket" }],
    headers: ["x-ticket"],
    scheme: "Ticket",
  },
  {
    name: "badge",
    rank: "cookie",
    argument: "badge",
    sample: "req.fhdr(x-badge),bytes(0,64)",
    sent: "where an issuer takes it",
    meaning: "a badge, which has no scheme",
    count: "req.fhdr_cnt(x-badge)",
    strip: [{ action: "del-header x-badge" }],
    headers: ["x-badge"],
  },
  {
    name: "seal",
    rank: "certificate",
    argument: "seal",
    sample: "req.fhdr(x-seal),b64dec",
    type: "binary",
    conditions: [
      {
        argument: "seal_used",
        sample: "req.hdr_val(x-seal-used),bool",
        meaning: "whether there is a seal",
        value: true,
        otherwise: "none",
      },
      {
        argument: "seal_fault",
        sample: "req.hdr_val(x-seal-fault)",
        meaning: "what is wrong with it",
        value: 0,
        otherwise: "malformed",
      },
    ],
    sent: "where an issuer takes it",
    meaning: "a seal",
    headers: ["x-seal"],
    largest: 64,
    proof: "sealed",
  },
  { ...(CREDENTIAL_KINDS[0] as CredentialKind), name: "pass", sent: "where an issuer takes it", scheme: "Pass" },
);

const { loadConfig } = await import("../../agent/config/load-config.ts");
const { ARGUMENTS } = await import("../../haproxy/arguments.ts");
const { renderHaproxy } = await import("../../haproxy/render.ts");
const { clientOf, identityOf, messageOf, serverOf, valuesOf } = await import("../support/agent.ts");
const { startBackend } = await import("../support/backend.ts");
const { freePort, haproxies, startHaproxy } = await import("../support/haproxy.ts");
const { RawClient } = await import("../support/http.ts");
const { ENVIRONMENT, findingsOf, policiesFrom, principalFrom } = await import("../support/policies.ts");
const { filesFor, INPUT } = await import("../support/rendered.ts");

const issuers = [
  { name: "okta", audiences: ["a"], credentials: ["bearer"], kinds: undefined },
  { name: "booth", audiences: ["a"], credentials: ["ticket"], kinds: undefined },
  { name: "door", audiences: ["a"], credentials: ["badge"], kinds: undefined },
  { name: "office", audiences: ["a"], credentials: ["seal"], kinds: undefined },
  { name: "gate", audiences: ["a"], credentials: ["bearer", "pass"], kinds: undefined },
  { name: "vault", audiences: ["a"], credentials: ["bearer"], proofs: ["sealed"], kinds: undefined },
];
const service = (name: string, taken: string, more = "", also = "") => `
  ${name}:
    hosts: [${name}.example.com]${also}
    issuers: ${taken}
    backend: orders
    headers: { x-auth-subject: principal.subject${more} }
    routes:
      - { name: read, match: [GET /read], allow: [authenticated] }
      - { name: scoped, match: [GET /scoped], allow: [authenticated], scopes: [read] }
      - { name: maybe, match: [GET /maybe], allow: [authenticated], optional: true }
      - { name: open, match: [GET /open], allow: [anyone] }
`;
const OLD = `services:${service("plain", "[okta]")}`;
const FORWARDS = "\n    forward_credential: true";
const NEW = [
  OLD,
  service("orders", "[okta, booth, door]"),
  service("doors", "[door]"),
  service("gates", "[gate]"),
  service("offices", "[office, okta]"),
  service("through", "[okta, booth, door]", "", FORWARDS),
].join("");
const policiesOf = (text: string) => policiesFrom(text, { issuers });

/** Who a credential is of; only what stands behind a scheme is asked for. */
const TWIN = principalFrom({ subject: "twin", expiresAt: Date.now() + 600_000 });
const IDENTITY = identityOf({
  twin: () => ({ principal: TWIN }),
  alice: () => ({ principal: principalFrom({ subject: "alice" }) }),
  robot: () => ({ principal: principalFrom({ subject: "robot", issuer: "booth" }) }),
  guard: () => ({ principal: principalFrom({ subject: "guard", issuer: "gate", audiences: ["a"] }) }),
  notary: () => ({ principal: principalFrom({ subject: "notary", issuer: "office" }) }),
  porter: () => ({ principal: principalFrom({ subject: "porter", issuer: "door" }) }),
});

test("a kind is in HAProxy's files where an issuer of the policies takes it, and nowhere else", (t) => {
  const rendered = (text: string) => Object.values(renderHaproxy({ ...INPUT, uses: policiesOf(text).uses })).join("\n");
  const lines = rendered(NEW).split("\n");
  const added = lines.filter((line) => !rendered(OLD).split("\n").includes(line));
  t.strictSame(
    added.map((line) => line.trim()),
    [
      "acl countersign_duplicate req.fhdr_cnt(x-ticket) gt 1",
      "acl countersign_duplicate req.fhdr_cnt(x-badge) gt 1",
      "http-request del-header x-ticket unless { var(txn.countersign.forward) -m str ticket all }",
      "http-request del-header x-badge unless { var(txn.countersign.forward) -m str badge all }",
      "args ticket=req.fhdr(x-ticket)",
      "args badge=req.fhdr(x-badge),bytes(0,64)",
      "args seal=req.fhdr(x-seal),b64dec",
      "args seal_used=req.hdr_val(x-seal-used),bool",
      "args seal_fault=req.hdr_val(x-seal-fault)",
    ],
  );
  t.match(ARGUMENTS.authorization, { sent: "always", name: "bearer" }, "what kinds share is told of the first");
  t.throws(() => renderHaproxy({ ...INPUT, uses: { ...INPUT.uses, credentials: ["stamp"] } }), /uses.credentials/);
  t.end();
});

test("its headers are no identity headers, and no expression reads them", (t) => {
  const { faults } = findingsOf(`services:${service("a", "[okta]", ", x-ticket: 'request.headers[\"x-badge\"]'")}`, {
    ...ENVIRONMENT,
    issuers,
  });
  t.match(faults.join("\n"), /the header name "x-ticket"; another name/);
  t.match(faults.join("\n"), /the header `x-badge`, which holds a credential/);
  t.end();
});

test("an identity prefix that would delete its header is a fault", (t) => {
  const faultsOf = (prefix: string) => {
    const folder = t.testdir({
      "countersign.yaml": `{ listen: { spop: ["127.0.0.1:9000"] }, policies: [p.yaml], issuers: {}, haproxy: { identity_prefix: ${prefix} } }`,
    });
    const loaded = loadConfig(`${folder}/countersign.yaml`, {}, {});
    return "faults" in loaded ? loaded.faults.map(({ right }) => right).join("\n") : "";
  };
  t.match(faultsOf("x-ticket-"), /x-ticket too/);
  t.notMatch(faultsOf("x-tickets-"), /too/);
  t.end();
});

test("it is read from a NOTIFY, and a HAProxy that does not send it is outdated", async (t) => {
  const { port } = await serverOf(t, policiesOf(NEW), IDENTITY);
  const spop = await clientOf(t, port);
  const ask = async (host: string, told: Parameters<typeof messageOf>[0]) =>
    valuesOf(
      await spop.notify(messageOf({ host: `${host}.example.com`, path: "/read", authorization: null, ...told })),
    );
  const none = { ticket: null, badge: null, seal: null, seal_used: null, seal_fault: null };
  t.match(await ask("orders", { ...none, ticket: "Ticket robot" }), { verdict: "allow", subject: "robot" });
  t.match(await ask("orders", { ...none, badge: "porter" }), { verdict: "allow", subject: "porter" });
  const binary = { type: "binary", value: Buffer.from("porter") } as const;
  t.match(await ask("orders", { ...none, badge: binary }), { verdict: "deny", reason: "credential-missing" });
  const outdated = { verdict: "deny", reason: "haproxy-config-outdated" };
  const seal = { type: "binary", value: Buffer.from("notary") } as const;
  const used = { type: "bool", value: true } as const;
  const sound = { type: "int64", value: 0n } as const;
  const sealed = { ...none, seal, seal_used: used, seal_fault: sound };
  t.match(await ask("offices", sealed), { verdict: "allow", subject: "notary" });
  for (const [name, told, reason] of [
    ["as a text", { seal: "notary" }, "credential-malformed"],
    ["that is there, and was too large to be sent", { seal: null }, "credential-malformed"],
    ["of more bytes than one may have", { seal: { type: "binary", value: Buffer.alloc(65) } }, "token-too-large"],
    ["not used", { seal_used: { type: "bool", value: false } }, "credential-missing"],
    ["of which nobody says that it is used", { seal_used: null }, "credential-missing"],
    ["used, as a number says", { seal_used: { type: "int32", value: 1n } }, "credential-missing"],
    ["with a fault", { seal_fault: { type: "int64", value: 18n } }, "credential-malformed"],
    ["with a fault of many digits", { seal_fault: { type: "int64", value: 2n ** 40n } }, "credential-malformed"],
    ["of which nobody says that it is sound", { seal_fault: null }, "credential-malformed"],
    ["sound, as a text says", { seal_fault: "" }, "credential-malformed"],
    ["sound, as false says", { seal_fault: { type: "bool", value: false } }, "credential-malformed"],
  ] as const) {
    t.match(await ask("offices", { ...sealed, ...told }), { verdict: "deny", reason }, `a seal ${name}`);
  }
  const { seal_fault: _, ...unsaid } = sealed;
  t.match(await ask("offices", unsaid), outdated);
  t.match(await ask("orders", { ticket: "Ticket robot" }), outdated);
  t.match(await ask("orders", { authorization: "Bearer alice" }), outdated);
  t.match(await ask("plain", { authorization: "Bearer alice" }), { verdict: "allow", subject: "alice" });
  t.match(await ask("plain", { ...none, authorization: undefined }), outdated);
});

test("a kind that is only a proof is sent too, and without it HAProxy is outdated", async (t) => {
  const policies = policiesOf(`${OLD}${service("vaults", "[vault]")}`);
  const rendered = renderHaproxy({ ...INPUT, uses: policies.uses })["countersign.spoe.conf"];
  for (const argument of ["seal", "seal_used", "seal_fault"]) t.match(rendered, `args ${argument}=`);
  const { port } = await serverOf(t, policies, IDENTITY);
  const spop = await clientOf(t, port);
  const ask = async (host: string, told: Parameters<typeof messageOf>[0]) =>
    valuesOf(await spop.notify(messageOf({ host: `${host}.example.com`, path: "/read", ...told })));
  const unsealed = { seal: null, seal_used: null, seal_fault: null };
  t.match(await ask("vaults", unsealed), { verdict: "deny", reason: "issuer-not-accepted" });
  t.match(await ask("vaults", { ...unsealed, seal_fault: undefined }), { reason: "haproxy-config-outdated" });
  t.match(await ask("plain", {}), { verdict: "allow", subject: "alice" });
});

/** What a request offers, by the host it is for, and what becomes of it: who it is, or why not and with what challenge. */
const CASES: readonly (readonly [request: readonly string[], answer: string, challenge?: string])[] = [
  [["orders", "/read", "x-ticket: Ticket robot"], "robot"],
  [["orders", "/read", "x-ticket: TICKET   robot"], "robot"],
  [["orders", "/read", "x-badge: porter"], "porter"],
  [["orders", "/read"], "credential-missing", "Bearer, Ticket"],
  [["orders", "/scoped", "x-ticket: Ticket robot"], "scope-missing", "Bearer insufficient, Ticket insufficient"],
  [["orders", "/read", "x-ticket: Ticket\trobot"], "credential-malformed", "Bearer invalid, Ticket invalid"],
  [["orders", "/read", "x-ticket: Ticket nobody"], "signature-invalid", "Bearer invalid, Ticket invalid"],
  [["orders", "/read", "x-ticket: Coupon robot"], "credential-missing", "Bearer, Ticket"],
  [["orders", "/read", "x-ticket: Ticket robot", "x-ticket: Ticket robot"], "duplicate"],
  // The first in the table that is offered, whether it is good or not.
  [["orders", "/read", "x-badge: porter", "x-ticket: Ticket robot", "authorization: Bearer alice"], "alice"],
  [["orders", "/read", "x-badge: porter", "x-ticket: Ticket robot", "authorization: Basic YTpi"], "robot"],
  [
    ["orders", "/read", "x-ticket: Ticket robot", "authorization: Bearer nobody"],
    "signature-invalid",
    "Bearer invalid, Ticket invalid",
  ],
  // What the service's issuers do not take is ignored, and not passed on.
  [["plain", "/read", "x-ticket: Ticket robot"], "credential-missing", "Bearer"],
  [["plain", "/maybe", "x-ticket: Ticket robot"], "anonymous"],
  [["doors", "/read", "authorization: Bearer alice"], "credential-missing"],
  // Two kinds in one header are told apart by their scheme.
  [["gates", "/read", "authorization: Bearer guard"], "guard"],
  [["gates", "/read", "authorization: pass guard"], "guard"],
  [["gates", "/read", "authorization: Pass\tguard"], "credential-malformed", "Bearer invalid, Pass invalid"],
  [["gates", "/read", "authorization: Pass guard", "authorization: Bearer guard"], "duplicate"],
  [["orders", "/read", "authorization: Pass guard"], "credential-missing", "Bearer, Ticket"],
  [["doors", "/read", "authorization: Bearer alice", "x-badge: porter"], "porter"],
  // One of several arguments, in binary.
  [["offices", "/read", "x-seal: bm90YXJ5", "x-seal-used: 1", "x-seal-fault: 0"], "notary"],
  [["offices", "/read", "x-seal: bm90YXJ5", "x-seal-used: 0", "x-seal-fault: 0"], "credential-missing", "Bearer"],
  [["offices", "/read", "x-seal: bm90YXJ5", "x-seal-used: 1"], "credential-malformed", "Bearer invalid"],
  [
    ["offices", "/read", "x-seal: bm90YXJ5", "x-seal-used: 1", "x-seal-fault: 9"],
    "credential-malformed",
    "Bearer invalid",
  ],
];

const CREDENTIALS = ["authorization", "x-ticket", "x-badge"];
/** What a request bears, and which of it a backend gets that is to get the credential. */
const FORWARDED: readonly (readonly [path: string, fields: readonly string[], forwarded: readonly string[]])[] = [
  ["/read", ["authorization: Bearer alice"], ["authorization"]],
  ["/read", ["authorization: Bearer alice", "x-ticket: Ticket robot", "x-badge: porter"], ["authorization"]],
  ["/read", ["authorization: Basic YTpi", "x-ticket: Ticket robot", "x-badge: porter"], ["x-ticket"]],
  ["/read", ["authorization: Basic YTpi", "x-ticket: Coupon robot", "x-badge: porter"], ["x-badge"]],
  ["/maybe", ["authorization: Basic YTpi", "x-ticket: Coupon robot"], []],
  // The very same principal by one kind and by another.
  ["/read", ["authorization: Bearer twin", "x-ticket: Ticket twin"], ["authorization"]],
  ["/read", ["authorization: Basic YTpi", "x-ticket: Ticket twin"], ["x-ticket"]],
  ["/open", ["authorization: Basic YTpi", "x-ticket: Coupon robot", "x-badge: none"], CREDENTIALS],
];

async function stage(t: Test, binary: HaproxyBinary) {
  const policies = policiesOf(NEW);
  const { port: agent } = await serverOf(t, policies, IDENTITY);
  const backend = await startBackend(t);
  const port = await freePort();
  const files = filesFor(binary, `127.0.0.1:${port}`, agent, backend.port, { uses: policies.uses });
  await startHaproxy(t, binary, { ...files }, port);
  const client = await RawClient.open(port);
  t.teardown(() => client.close());
  const ask = ([host, path, ...fields]: readonly string[]) =>
    client.request(`GET ${path} HTTP/1.1`, [`host: ${host}.example.com`, ...fields]);
  while ((await ask(["orders", "/read", "authorization: Bearer alice"])).status !== 200)
    await new Promise((done) => setTimeout(done, 50));
  return { backend, ask };
}

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: only the credential that has proven somebody is forwarded`, async (t) => {
    const { backend, ask } = await stage(t, binary);
    for (let again = 0; again < 40; again++) {
      for (const [path, fields, forwarded] of FORWARDED) {
        const name = `${path} ${fields.join(" ")}`;
        t.equal((await ask(["through", path, ...fields])).status, 200, name);
        const arrived = CREDENTIALS.filter((header) => backend.last(header).length > 0);
        t.strictSame(arrived, forwarded, name);
      }
    }
  });

  test(`HAProxy ${binary.version}: a kind of one row is asked for, taken, refused and stripped`, async (t) => {
    const { backend, ask } = await stage(t, binary);
    for (const [request, expected, challenge] of CASES) {
      const name = request.join(" ");
      const answer = await ask(request);
      const allowed = answer.status === 200;
      const who = backend.last("x-auth-subject")[0] ?? "anonymous";
      t.equal(allowed ? who : JSON.parse(answer.body).reason, expected, name);
      const realm = `realm="${request[0]}.example.com"`;
      const whole = challenge
        ?.replaceAll(/\b(Bearer|Ticket|Pass)\b/g, `$1 ${realm}`)
        .replaceAll(" invalid", ', error="invalid_token"')
        .replaceAll(" insufficient", ', scope="read", error="insufficient_scope"');
      t.equal(answer.headers["www-authenticate"], whole, name);
      for (const header of allowed ? ["authorization", "x-ticket", "x-badge"] : [])
        t.strictSame(backend.last(header), [], `${name}: ${header}`);
    }
  });
}
