import { test } from "tap";
import { jsonText, plainText } from "../../agent/telemetry/safe-text.ts";
import { decision, type Line, NOON, observation, principal, recorded } from "../support/telemetry.ts";

const KEYS = [
  ...["level", "time", "msg", "request_id", "src", "method", "host", "path", "issuer", "subject", "kind"],
  ...["client", "rule", "verdict", "status", "reason", "revision", "duration_us"],
];

test("one JSON line a decision", async (t) => {
  const { telemetry, lines } = recorded(t);
  telemetry.decided(observation());
  const [line] = await lines();
  t.strictSame(Object.keys(line ?? {}), KEYS);
  t.strictSame(line, {
    level: "info",
    time: new Date(NOON).toISOString(),
    msg: "decision",
    request_id: "0123456789abcdef0123456789abcdef",
    src: "192.0.2.7",
    method: "GET",
    host: "orders.example.com",
    path: "/v1/orders/42",
    issuer: "okta",
    subject: "oncall@example.com",
    kind: "person",
    client: "orders-spa",
    rule: "orders/read",
    verdict: "allow",
    status: 200,
    reason: "allowed",
    revision: "3f9a1c2d4e5f",
    duration_us: 13,
  });
});

test("without a principal there are no identity members; with a shadow there are its own", async (t) => {
  const { telemetry, lines } = recorded(t);
  const shadow = { verdict: "deny", reason: "role-missing" } as const;
  telemetry.decided(observation({ principal: undefined, decision: decision({ reason: "anyone" }) }));
  telemetry.decided(observation({ decision: decision({ shadow }) }));
  const [anyone, shadowed] = await lines();
  t.strictSame(
    Object.keys(anyone ?? {}),
    KEYS.filter((key) => !["issuer", "subject", "kind", "client"].includes(key)),
  );
  t.strictSame(Object.keys(shadowed ?? {}), [...KEYS, "shadow_verdict", "shadow_reason"]);
  t.match(shadowed, { verdict: "allow", shadow_verdict: "deny", shadow_reason: "role-missing" });
});

test("a line says who acts for the subject, how many have, by which client, and which claim refused", async (t) => {
  const { telemetry, lines } = recorded(t);
  const actor = [
    { subject: "planner", issuer: undefined },
    { subject: "front", issuer: "https://id.example.com" },
  ];
  telemetry.decided(observation({ principal: principal({ client: "assistants", actor }) }));
  telemetry.decided(observation({ principal: principal({ client: undefined }) }));
  const refused = decision({ verdict: "deny", reason: "claim-missing" });
  telemetry.decided(observation({ principal: undefined, decision: refused, claim: "aud" }));
  const [assisted, herself, nobody] = await lines();
  t.match(assisted, { subject: "oncall@example.com", client: "assistants", actor: "planner", actors: 2 });
  t.equal(assisted?.act_chain, "planner <- https://id.example.com/front");
  t.notOk(herself && ("client" in herself || "actor" in herself || "actors" in herself));
  t.match(nobody, { reason: "claim-missing", claim: "aud" });
  t.notOk(nobody && ("client" in nobody || "actor" in nobody));
});

test("each line says what was decided for it, whatever was decided before", async (t) => {
  const { telemetry, lines } = recorded(t);
  const denied = decision({ verdict: "deny", reason: "role-missing" });
  const cases = [
    { revision: "aaaa", status: 200, decision: decision() },
    { revision: "bbbb", status: 200, decision: decision() },
    { revision: "bbbb", status: 403, decision: denied },
    { revision: "bbbb", status: 403, decision: { ...denied, rule: "orders/cancel" } },
    { revision: "aaaa", status: 200, decision: decision() },
    { revision: "aaaa", status: 401, decision: decision({ verdict: "deny", reason: "credential-missing" }) },
    { revision: "aaaa", status: 401, decision: decision({ verdict: "login", reason: "credential-missing" }) },
  ];
  for (const one of cases) telemetry.decided(observation(one));
  const expected = cases.map(({ revision, status, decision: { verdict, reason, rule } }) => ({
    revision,
    status,
    verdict,
    reason,
    rule,
  }));
  t.match(await lines(), expected);
});

test("`refused` logs everything but what was allowed", async (t) => {
  const { telemetry, lines } = recorded(t, { decisions: "refused" });
  telemetry.decided(observation());
  for (const verdict of ["deny", "login"] as const) {
    telemetry.decided(observation({ status: 401, decision: decision({ verdict, reason: "credential-missing" }) }));
  }
  t.strictSame(
    (await lines()).map((line) => line.verdict),
    ["deny", "login"],
  );
});

test("the level of the other lines does not silence decisions", async (t) => {
  const { telemetry, lines } = recorded(t, { level: "error" });
  telemetry.decided(observation());
  t.equal((await lines()).length, 1);
});

test("nothing but the named members of a request is written", async (t) => {
  const { telemetry, text } = recorded(t);
  const secret = "eyJhbGciOiJSUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl";
  telemetry.decided(observation({ path: `/v1/orders?access_token=${secret}` }));
  telemetry.decided(observation({ path: `/v1/orders#${secret}` }));
  telemetry.decided(
    observation({
      principal: principal({ claims: { jti: secret }, groups: [secret], actor: [] }),
      decision: decision({ headers: [{ name: "x-auth-token", value: secret }], roles: [secret], scopes: [secret] }),
    }),
  );
  const written = await text();
  t.equal(written.split("\n").length, 4);
  t.notMatch(written, "eyJ", "no part of the token");
  t.notMatch(written, "access_token");
});

test("whatever a client or issuer says: one line, bounded, valid JSON, no character that could mislead", async (t) => {
  const nasty = [
    '"}\n{"verdict":"allow"',
    "\\",
    "\u0000\u001b[2J\u007f\u009b31m",
    "\u202e\u2066\u200b\ufeff",
    "\u2028\u2029\r\n",
    "\ud800",
    "\u{e0041}",
    "jürgen@example.com",
    "名前",
    "__proto__",
    "a".repeat(100_000),
    "\u0001".repeat(100_000),
    "\u{1f600}".repeat(2_000),
    "",
  ];
  const { telemetry, text } = recorded(t);
  for (const value of nasty) {
    telemetry.decided(
      observation({
        requestId: value,
        src: value,
        method: value,
        host: value,
        path: value,
        principal: principal({
          issuer: value,
          subject: value,
          client: value,
          actor: [{ subject: value, issuer: value }],
        }),
        decision: decision({ rule: value }),
        revision: value,
        mcp: { method: value, tool: value },
      }),
    );
  }
  const written = (await text()).split("\n").slice(0, -1);
  t.equal(written.length, nasty.length);
  for (const [index, line] of written.entries()) {
    const parsed = JSON.parse(line);
    t.strictSame(
      Object.keys(parsed).filter((key) => !/^(?:act|mcp_)/.test(key)),
      KEYS,
    );
    t.equal(parsed.verdict, "allow");
    t.ok(line.length < 28_672, `line ${index} has ${line.length} characters`);
    t.ok(parsed.path.length <= 1024);
    t.notMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u, "no control or format character");
    if ((nasty[index] ?? "").length <= 64) t.equal(parsed.subject, (nasty[index] ?? "").toWellFormed());
  }
});

test("numbers that are none do not break the line", async (t) => {
  const { telemetry, lines } = recorded(t);
  const durations = [Number.NaN, Number.POSITIVE_INFINITY, -1, 0, 1e300];
  for (const durationUs of durations) telemetry.decided(observation({ durationUs }));
  t.strictSame(
    (await lines()).map((line) => line.duration_us),
    [0, 0, 0, 0, 0],
  );
});

test("text is cut at a character, and the cut is visible", (t) => {
  t.equal(jsonText("abcdef", 6), "abcdef");
  t.equal(jsonText("abcdefg", 6), "abcde…");
  t.equal(jsonText("abcd\u{1f600}g", 6), "abcd…", "no half of a pair");
  t.equal(jsonText('a"b\\c\n', 20), 'a\\"b\\\\c\\n');
  t.equal(jsonText("a\u007f\u{e0041}", 20), "a\\u007f\\udb40\\udc41");
  t.equal(plainText("a\u001b[31m\u202eb", 20), "a\ufffd[31m\ufffdb");
  t.equal(plainText("abcdefg", 6), "abcde…");
  t.end();
});

test("a replayable line has what the policies in force read, and nothing else of a token or a request", async (t) => {
  const { telemetry, lines } = recorded(t, { decisions: "replayable" });
  const claims = { tenant: "emea", secret: "hidden", odd: null, evil: "a\u202eb" };
  const reads = { requestHeaders: ["x-kind", "x-absent"], claims: ["absent", "evil", "odd", "tenant"] };
  const headers = { "x-kind": "a", "x-other": "hidden" };
  telemetry.decided(observation({ principal: principal({ claims, groups: ["Readers"] }), headers, reads }));
  telemetry.decided(observation({ principal: undefined, reads, headers: {} }));
  telemetry.decided(
    observation({ principal: principal({ claims: { n: 1n } }), reads: { requestHeaders: [], claims: ["*"] } }),
  );
  telemetry.decided(observation({ principal: principal({ groups: Array(3000).fill("group") }) }));
  const away = { _claim_names: { tenant: "src1" }, _claim_sources: {} };
  telemetry.decided(observation({ principal: principal({ claims: away }), reads }));
  const [full = {}, nobody, exact = {}, long = {}, elsewhere = {}] = await lines();
  const { groups, claims: told, headers: sent, tls } = full.replay as Line;
  t.strictSame(
    { groups, told, sent, tls },
    {
      groups: ["Readers"],
      told: { absent: null, evil: "a\u202eb", tenant: "emea" },
      sent: { "x-kind": "a", "x-absent": null },
      tls: true,
    },
  );
  t.notMatch(JSON.stringify(full), /hidden/);
  t.strictSame(nobody?.replay, { tls: true, headers: { "x-kind": null, "x-absent": null } });
  t.notOk("replay" in exact, "an integer that JSON would round");
  t.notOk("replay" in long, "too long");
  t.strictSame((elsewhere.replay as Line).claims, { absent: null, evil: null, odd: null });
});
