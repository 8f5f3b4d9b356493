import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import type { HttpAnswer } from "../../agent/http/fetch.ts";
import { readAnswer } from "../../agent/identity/aws-iam/answer.ts";
import { endpointsOf, hostOf, partitionOf } from "../../agent/identity/aws-iam/endpoints.ts";
import { readPresigned } from "../../agent/identity/aws-iam/presigned.ts";
import type { AwsIamIssuer } from "../../agent/identity/aws-iam/section.ts";
import { reply } from "../../demo/front.ts";
import { type Choice, KEY, presign, SESSION_KEY, tokenOf } from "../../demo/sigv4.ts";
import { Files, SHORTEST } from "../config/example.ts";
import { Clockwork } from "../support/clockwork.ts";
import { startIdentity } from "../support/identity.ts";
import { command, folderOf } from "../support/serve.ts";
import { type Recorded, STS_AUTHORITY, type Sts, startSts } from "../support/sts.ts";
import RECORDED from "../vectors/aws/eks-get-token.json" with { type: "json" };
import VECTORS from "../vectors/aws/sigv4.json" with { type: "json" };
import RESPONSES from "../vectors/aws/sts-responses.json" with { type: "json" };
import { ATTACKS, HOST } from "./aws-attacks.ts";
import { behavesAsIssuer, LIFETIME, outlivesItsProvider, type Subject } from "./suite.ts";

const ACCOUNT = "123456789012";
const ID = "AROACLKWSDQRAOEXAMPLE";

/** An issuer whose STS is the stand-in. */
function issuerOf({ proxy, ca }: Sts, changes: Partial<AwsIamIssuer> = {}): AwsIamIssuer {
  return {
    name: "aws",
    type: "aws-iam",
    issuer: "arn:aws:sts",
    credentials: ["bearer"],
    prefixes: ["k8s-aws-v1."],
    audiences: ["ingress.example.com"],
    kinds: ["workload", "person"],
    arns: { partition: "aws", accounts: [ACCOUNT] },
    endpoints: endpointsOf(["us-west-2"], ["regional"]),
    serverId: { header: "x-k8s-aws-id", value: "ingress.example.com" },
    maxAge: 900_000,
    clockTolerance: 30_000,
    sts: { rate: 1000, strangers: 1000, timeout: 2_000 },
    ca,
    proxy: { url: `http://127.0.0.1:${proxy.port}`, except: [] },
    ...changes,
  };
}

/** A role called alice, of which STS tells every session. */
async function subjectOf(t: Test, time: Clockwork): Promise<Subject> {
  const sts = await startSts(t, time.clock);
  const arn = `arn:aws:sts::${ACCOUNT}:assumed-role/alice/i-1`;
  sts.keys.set(KEY.id, { key: KEY, holder: { account: ACCOUNT, arn, userId: `${ID}:i-1` } });
  const at = time.now;
  const named = (value: string, expires = 60, key = KEY) => {
    return tokenOf(
      presign({ at, key, headers: { "x-k8s-aws-id": value }, parameters: { "X-Amz-Expires": `${expires}` } }),
    );
  };
  const issuer = issuerOf(sts, {
    audiences: ["api://orders"],
    serverId: { header: "x-k8s-aws-id", value: "api://orders" },
    maxAge: LIFETIME,
  });
  const { body: result } = { body: RESPONSES["assumed-role"].json.GetCallerIdentityResponse };
  const told = (arn: string, account = ACCOUNT, userId = `${ID}:i-1`) =>
    reply({ GetCallerIdentityResponse: { GetCallerIdentityResult: { Account: account, Arn: arn, UserId: userId } } });
  const { xml } = RESPONSES["assumed-role"];
  const typed = (text: string, type = "text/xml") => reply(text, 200, { "content-type": type });
  return {
    issuer,
    good: async (twin = 0) => named("api://orders", 60 + twin),
    foreign: async () => named("api://billing"),
    forged: async () => named("api://orders", 60, { ...KEY, secret: "another" }),
    provider: {
      front: sts.front,
      path: "",
      lies: [
        told(arn, "210987654321"),
        told(`arn:aws-cn:sts::${ACCOUNT}:assumed-role/alice/i-1`),
        told(arn, ACCOUNT, `${ID}:i-2`),
        told(arn, ACCOUNT, "i-1"),
        told(`arn:aws:sts::${ACCOUNT}:assumed-role/alice`),
        told(`arn:aws:s3::${ACCOUNT}:assumed-role/alice/i-1`),
        told(`x ${arn}`),
        reply({ GetCallerIdentityResult: result.GetCallerIdentityResult }),
        reply({ Other: { GetCallerIdentityResponse: result } }),
        reply([{ GetCallerIdentityResponse: result }]),
        reply({
          GetCallerIdentityResponse: { GetCallerIdentityResult: { ...result.GetCallerIdentityResult, Arn: [arn] } },
        }),
        reply(JSON.stringify({ GetCallerIdentityResponse: result }).replace('"Arn"', `"Arn":"${arn}","Arn"`)),
        reply({ GetCallerIdentityResponse: result }, 200, { "content-type": "text/html" }),
        reply({ GetCallerIdentityResponse: result }, 201),
        reply({ GetCallerIdentityResponse: result }, 403),
        reply(JSON.stringify({ GetCallerIdentityResponse: result }) + " ".repeat(20_000)),
        reply("", 302, { location: "/?Action=GetCallerIdentity" }),
        reply("<html>no</html>", 403, { "content-type": "text/html" }),
        // CVE-2020-16250: an answer to something else, in which the sender's own words stand.
        typed(`<AssumeRoleResponse><x>${xml}</x></AssumeRoleResponse>`),
        typed(`${xml}<x/>`),
        typed(`<x/>${xml}`),
        typed(`<x/><?xml version="1.0"?>${xml}`),
        typed(xml.replace("</Arn>", "</UserId>")),
        typed(xml.replace("<Account>", `<Account>${ACCOUNT}</Account><Account>`)),
        typed(xml.replace("</Arn>", "<Arn>x</Arn></Arn>")),
        typed(xml.replace("<Arn>", "<Arn>&#97;")),
        typed(xml.replaceAll("my-role-session-name", "&#97;")),
        typed(xml.replace("sts.amazonaws.com", "sts.example.com")),
        typed(xml, "text/plain"),
      ],
      again: async () => {},
    },
    revoke: async () => ({ ...issuer, arns: { partition: "aws", accounts: ["210987654321"] } }),
  };
}

behavesAsIssuer("aws-iam", subjectOf, {
  forged: "signature-invalid",
  foreign: "signature-invalid",
  revoked: "identity-not-accepted",
});
outlivesItsProvider("aws-iam", subjectOf);

/** The stand-in, one issuer that asks it, and what both make of a token. */
async function stage(
  t: Test,
  changes: Partial<AwsIamIssuer> = {},
  holder: Parameters<Sts["keys"]["set"]>[1]["holder"] = "assumed-role",
) {
  const time = new Clockwork();
  const sts = await startSts(t, time.clock);
  for (const key of [KEY, SESSION_KEY]) sts.keys.set(key.id, { key, holder });
  const started = startIdentity([issuerOf(sts, changes)], { time });
  t.teardown(() => started.identity.close());
  const token = (choice: Partial<Choice> = {}) => tokenOf(presign({ at: time.now, ...choice }));
  return { ...started, sts, token };
}

test("the stand-in checks signatures as AWS's own clients make them", async (t) => {
  const [first, second] = VECTORS.vectors;
  const at = Date.UTC(2026, 10, 28, 1, 30, 10);
  const signed = { at, headers: { "x-k8s-aws-id": "prod-ingress" } };
  const signatureIn = (url: string) => /X-Amz-Signature=(\w+)/.exec(url)?.[1];
  t.equal(signatureIn(presign(signed)), first?.signature);
  t.equal(signatureIn(presign({ ...signed, key: { ...KEY, session: SESSION_KEY.session ?? "" } })), second?.signature);
  t.end();
});

test("what Go's and JavaScript's signers write is taken, but for what says neither how long nor for whom it is", async (t) => {
  const time = new Clockwork(Date.UTC(2026, 10, 28, 1, 31));
  const sts = await startSts(t, time.clock);
  const [keys, session, plain] = VECTORS.vectors;
  const serverId = { header: "x-k8s-aws-id", value: "prod-ingress" };
  const started = startIdentity([issuerOf(sts, { serverId })], { time });
  t.teardown(() => started.identity.close());
  const judge = (url = "") => started.verify(tokenOf(url));
  sts.keys.set(KEY.id, { key: KEY, holder: "user" });
  t.match(await judge(keys?.goAndCliUrl), { principal: {} });
  t.match(await judge(keys?.jsUrl), { principal: {} });
  t.match(await judge(keys?.jsUrl?.replace("Expires=60", "Expires=900")), { reason: "signature-invalid" });
  sts.keys.set(KEY.id, { key: { ...KEY, session: SESSION_KEY.session ?? "" }, holder: "user" });
  t.match(await judge(session?.jsUrl), { principal: {} });
  t.match(await judge(plain?.url), { reason: "token-malformed", claim: "X-Amz-Expires" });
});

test("what the real `aws eks get-token` prints is taken, from every address that is configured", async (t) => {
  const time = new Clockwork(Date.UTC(2026, 10, 28, 1, 58));
  const sts = await startSts(t, time.clock);
  for (const key of [KEY, SESSION_KEY]) sts.keys.set(key.id, { key, holder: "user" });
  const serverId = { header: "x-k8s-aws-id", value: RECORDED.serverId };
  const kinds = ["regional", "fips", "dualstack", "dualstack-fips", "global"] as const;
  const started = startIdentity([issuerOf(sts, { serverId, endpoints: endpointsOf(["us-west-2"], kinds) })], { time });
  t.teardown(() => started.identity.close());
  const outcomes: Record<string, string> = {};
  for (const { case: name, token } of RECORDED.cases) outcomes[name] = await started.judge(token);
  t.strictSame(outcomes, {
    static: "proven",
    "session-token": "proven",
    "no-region": "proven",
    "legacy-global": "proven",
    fips: "proven",
    dualstack: "proven",
    "dualstack-fips": "proven",
    "endpoint-override": "proven",
    "fips-gov": "issuer-unknown",
    "dualstack-cn": "issuer-unknown",
    cn: "issuer-unknown",
    gov: "issuer-unknown",
    iso: "issuer-unknown",
    eusc: "issuer-unknown",
    "made-up-region": "issuer-unknown",
    "endpoint-env": "token-malformed",
  });
});

test("a token that begins otherwise is none, whoever asks", (t) => {
  const expected = { endpoints: endpointsOf(["us-west-2"], ["regional"]), header: "x-k8s-aws-id" };
  const token = tokenOf(presign({ at: Date.now(), key: KEY }));
  t.match(readPresigned(token, expected), { accessKeyId: KEY.id });
  t.match(readPresigned(token.replace("v1.", "v2."), expected), { reason: "token-malformed" });
  t.end();
});

test("whatever is not exactly a request for us is refused, and STS is not asked", async (t) => {
  const endpoints = endpointsOf(["us-west-2"], ["regional", "global"]);
  const { verify, sts, token } = await stage(t, { endpoints });
  for (const [name, make, reason, claim] of ATTACKS) {
    const url = (change: (url: string) => string) => tokenOf(change(presignedIn(token())));
    t.match(await verify(make(token, url)), { principal: undefined, reason, claim }, name);
  }
  t.equal(sts.requests.length, 0);
  t.match(
    await verify(token()),
    { principal: { arn: `arn:aws:iam::${ACCOUNT}:role/my-role-name` } },
    "which is none of it",
  );
});

function presignedIn(token: string): string {
  return Buffer.from(token.slice("k8s-aws-v1.".length), "base64url").toString("latin1");
}

test("of whatever a request is changed to, STS is sent nothing that is not in it, nor is it asked elsewhere", (t) => {
  const at = Date.now();
  const endpoints = endpointsOf(["us-west-2"], ["regional"]);
  const good = presign({ at, key: SESSION_KEY });
  const signs = [
    ..."&=?/%;#@:\\ \t\n+.~aA0_-\u00e9",
    "%2F",
    "%00",
    "&Action=",
    "X-Amz-Date=",
    "&x-amz-credential=",
    "//",
  ];
  const next = generator(7);
  let accepted = 0;
  for (let i = 0; i < 20_000; i++) {
    let url = good;
    for (let changes = next(3); changes >= 0; changes--) {
      const from = next(url.length);
      url = url.slice(0, from) + (signs[next(signs.length)] ?? "") + url.slice(from + next(3));
    }
    const read = readPresigned(tokenOf(url), { endpoints, header: "x-k8s-aws-id" });
    if ("reason" in read) continue;
    accepted++;
    t.equal(read.url.origin, `https://${HOST}`);
    const parts = (text: string) =>
      text
        .slice(text.indexOf("?") + 1)
        .split("&")
        .sort();
    t.strictSame([parts(read.url.href), read.url.hash, read.url.pathname], [parts(url), "", "/"], url);
    t.equal(url.slice(0, url.indexOf("?")), `https://${HOST}/`);
  }
  t.ok(accepted > 100, `${accepted}`);
  t.end();
});

/** Numbers below a bound, always the same ones. */
function generator(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

test("a request counts for as long as we say, whatever it says itself, and not before its time", async (t) => {
  const { judge, verify, sts, time, token } = await stage(t, { maxAge: 120_000 });
  time.now = Math.floor(time.now / 1000) * 1000;
  const at = time.now;
  t.equal(await judge(token({ at: at - 120_000 })), "token-expired");
  t.equal(await judge(token({ at: at - 120_000, parameters: { "X-Amz-Expires": "900" } })), "token-expired");
  t.equal(await judge(token({ at: at + 31_000 })), "token-not-yet-valid");
  t.equal(sts.requests.length, 0, "STS would take them");
  const old = token({ at: at - 119_000, parameters: { "X-Amz-Expires": "1" } });
  t.match(await verify(old), { principal: { expiresAt: at + 1_000, authenticatedAt: at - 119_000 } });
  t.equal(await judge(token({ at: at + 30_000 })), "proven", "clocks may be off by so much");
  time.now += 1_000;
  t.equal(await judge(old), "token-expired");
});

test("STS is sent what was checked, for us, and nothing else of the client", async (t) => {
  const { judge, sts, token } = await stage(t);
  const shuffled = presignedIn(token({ key: SESSION_KEY })).replace(
    /\?(.*)$/,
    (_, query) => `?${query.split("&").reverse().join("&")}`,
  );
  t.equal(await judge(tokenOf(shuffled)), "proven", "clients have them in more orders than one");
  const [{ url, headers } = { url: "", headers: {} }] = sts.requests;
  t.strictSame(headers, {
    host: HOST,
    connection: "close",
    accept: "application/json",
    "accept-encoding": "identity",
    "user-agent": "countersign",
    "x-k8s-aws-id": "ingress.example.com",
  });
  t.strictSame(
    sts.proxy.tunnels.map(({ target }) => target),
    [`${HOST}:443`],
  );
  const names = [...new URLSearchParams(url.slice(2)).keys()];
  t.match(url, /^\/\?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=/);
  t.strictSame(names.toSorted(), [...new URL(shuffled).searchParams.keys()].sort());
  t.equal(
    await judge(token({ headers: { "x-k8s-aws-id": "another.example.com" } })),
    "signature-invalid",
    "signed for another",
  );
  t.equal(sts.requests.at(-1)?.headers["x-k8s-aws-id"], "ingress.example.com", "is asked for us all the same");
  t.equal(await judge(token({ method: "POST" })), "signature-invalid", "as boto3 signs without HttpMethod");
});

test("another header can say that a request is for us", async (t) => {
  const { judge, sts, token } = await stage(t, { serverId: { header: "a-server-id", value: "prod" } });
  t.equal(await judge(token({ headers: { "a-server-id": "prod" } })), "proven", "which sorts before host");
  t.equal(sts.requests[0]?.headers["a-server-id"], "prod");
  t.equal(await judge(token()), "audience-not-accepted");
});

test("whatever STS answers is read in a time that grows with its length alone", (t) => {
  const { xml } = RESPONSES["assumed-role"];
  const blanks = " ".repeat(500_000);
  const answer = (body: string) => ({ status: 200, headers: { "content-type": "text/xml" }, body: Buffer.from(body) });
  // Where two parts of a pattern take the same blanks, each of these takes hours.
  const places = [...xml.matchAll(/></g)].map(({ index }) => index + 1);
  for (const at of [0, ...places, xml.length]) {
    t.match(readAnswer(answer(`${xml.slice(0, at)}${blanks}<x/>${xml.slice(at)}`)), { error: String }, `at ${at}`);
    t.match(readAnswer(answer(xml.slice(0, at) + blanks + xml.slice(at))), { caller: Object }, `blanks at ${at}`);
  }
  t.end();
});

test("a redirect leads nowhere", async (t) => {
  const { judge, sts, token } = await stage(t);
  for (const status of [301, 302, 303, 307, 308]) {
    sts.front.behave(reply("", status, { location: "/?elsewhere" }));
    t.equal(await judge(token()), "issuer-unavailable", `${status}`);
    sts.front.behave("up");
  }
  t.equal(sts.front.requests.length, 5);
  t.notOk(sts.front.requests.some((path) => path.endsWith("elsewhere")));
});

const ROLE = `arn:aws:iam::${ACCOUNT}:role/`;
const SESSIONS = `arn:aws:sts::${ACCOUNT}:assumed-role/`;
const SSO = "AWSReservedSSO_PowerUser_e11aa594f712e1dc";

const HOLDERS: readonly (readonly [holder: Recorded, found: object])[] = [
  [
    "assumed-role",
    {
      subject: `${ROLE}my-role-name`,
      arn: `${ROLE}my-role-name`,
      kind: "workload",
      issuer: "aws",
      audiences: ["ingress.example.com"],
      claims: {
        arn: `${SESSIONS}my-role-name/my-role-session-name`,
        account: ACCOUNT,
        session_name: "my-role-session-name",
        user_id: "AROACLKWSDQRAOEXAMPLE:my-role-session-name",
        unique_id: "AROACLKWSDQRAOEXAMPLE",
        access_key_id: KEY.id,
        permission_set: undefined,
      },
    },
  ],
  [
    "ec2-instance-role",
    { subject: `${ROLE}web-node`, kind: "workload", claims: { session_name: "i-0123456789abcdef0" } },
  ],
  [
    "sso",
    {
      subject: `${SESSIONS}${SSO}/alice@example.com`,
      arn: `${ROLE}${SSO}`,
      kind: "person",
      claims: { permission_set: "PowerUser", session_name: "alice@example.com" },
    },
  ],
  [
    "user",
    {
      subject: `arn:aws:iam::${ACCOUNT}:user/Alice`,
      arn: `arn:aws:iam::${ACCOUNT}:user/Alice`,
      kind: { claim: "arn" },
      claims: { session_name: undefined },
    },
  ],
  [
    "user-with-path",
    {
      arn: `arn:aws:iam::${ACCOUNT}:user/division_abc/subdivision_xyz/Alice`,
      claims: { unique_id: "AIDACKCEVSQ6C2EXAMPLE" },
    },
  ],
];
const OTHERS = ["federated-user", "root"] as const;
const ABROAD = ["cn-assumed-role", "gov-assumed-role"] as const;

test("whom STS names is a role, whatever its session is called, a person of Identity Center, or a user", async (t) => {
  const { verify, judge, sts, token, identity } = await stage(t);
  for (const format of ["json", "xml"] as const) {
    sts.format = format;
    const twin = format === "json" ? 0 : 1;
    for (const [index, [holder, found]] of HOLDERS.entries()) {
      sts.keys.set(KEY.id, { key: KEY, holder });
      const { principal } = await verify(token({ parameters: { "X-Amz-Expires": `${2 * index + twin}` } }));
      t.match(principal, found, `${holder}, ${format}`);
      t.ok(Object.isFrozen(principal) && Object.isFrozen(principal?.claims));
    }
    for (const [index, holder] of [...OTHERS, ...ABROAD].entries()) {
      sts.keys.set(KEY.id, { key: KEY, holder });
      const expected = index < OTHERS.length ? "identity-not-accepted" : "issuer-unavailable";
      t.equal(await judge(token({ parameters: { "X-Amz-Expires": `${100 + 2 * index + twin}` } })), expected, holder);
    }
  }
  t.equal(identity.status()[0]?.identities, 2 * HOLDERS.length);
});

test("two roles of one name are two, and an account that is not listed is nobody's", async (t) => {
  const { verify, sts, token } = await stage(t, { arns: { partition: "aws", accounts: [ACCOUNT, "210987654321"] } });
  const holder = (account: string) => ({
    account,
    arn: `arn:aws:sts::${account}:assumed-role/app/s`,
    userId: `${ID}:s`,
  });
  sts.keys.set(KEY.id, { key: KEY, holder: holder(ACCOUNT) });
  sts.keys.set(SESSION_KEY.id, { key: SESSION_KEY, holder: holder("210987654321") });
  for (let again = 0; again < 2; again++) {
    t.match(await verify(token()), { principal: { arn: `${ROLE}app` } });
    t.match(await verify(token({ key: SESSION_KEY })), { principal: { arn: "arn:aws:iam::210987654321:role/app" } });
  }
  sts.keys.set(KEY.id, { key: KEY, holder: holder("000000000000") });
  const other = token({ parameters: { "X-Amz-Expires": "1" } });
  t.match(await verify(other), { principal: undefined, reason: "identity-not-accepted", claim: "Account" });
});

test("an answer of STS that contradicts itself, or has an id that AWS gives nobody, names nobody", async (t) => {
  const { judge, sts, token, identity } = await stage(t);
  const role = { account: ACCOUNT, arn: `${SESSIONS}app/s`, userId: `${ID}:s` };
  const user = { account: ACCOUNT, arn: `arn:aws:iam::${ACCOUNT}:user/Alice`, userId: "AIDACKCEVSQ6C2EXAMPLE" };
  let twin = 0;
  const named = (holder: typeof role) => {
    sts.keys.set(KEY.id, { key: KEY, holder });
    return judge(token({ parameters: { "X-Amz-Expires": `${++twin}` } }));
  };
  t.strictSame([await named(role), await named(user)], ["proven", "proven"]);
  for (const [what, holder] of [
    ["two accounts", { ...role, account: "210987654321" }],
    ["an id in lower case", { ...role, userId: `${ID.toLowerCase()}:s` }],
    ["a short id", { ...role, userId: "AROA:s" }],
    ["another session's id", { ...role, userId: `${ID}:t` }],
    ["an id of no session", { ...role, userId: ID }],
    ["something before it", { ...role, arn: `x${role.arn}` }],
    ["something behind it", { ...role, arn: `${role.arn}/x` }],
    ["a role itself", { ...role, arn: `${ROLE}app`, userId: ID }],
    ["a user's id in lower case", { ...user, userId: "aidackcevsq6c2example" }],
    ["a user with a session's id", { ...user, userId: `${ID}:s` }],
  ] as const) {
    t.equal(await named(holder), "issuer-unavailable", what);
    t.match(identity.status()[0]?.error, /^the answer /);
  }
});

test("an issuer that ends leaves nobody waiting for STS", async (t) => {
  const { identity, sts, time, token } = await stage(t);
  sts.front.behave("silent");
  const asked = sts.front.arrival("");
  const found = identity.verify(token(), time.now);
  await asked;
  identity.close();
  t.match(await found, { principal: undefined, reason: "issuer-unavailable" });
  const late = identity.verify(token({ parameters: { "X-Amz-Expires": "1" } }), time.now);
  t.match(late, { reason: "issuer-unavailable" }, "nor asks it for anybody who comes then");
});

test("a request that ends while STS is asked proves nobody", async (t) => {
  const { sts, judge, time, token } = await stage(t);
  sts.front.behave((request, response) => {
    time.now += 900_000;
    reply(RESPONSES["assumed-role"].json)(request, response);
  });
  t.equal(await judge(token()), "token-expired");
});

test("what STS says of somebody once the issuer has ended proves nobody", async (t) => {
  const { sts, time, token } = await stage(t);
  const answer = Promise.withResolvers<HttpAnswer>();
  const { identity } = startIdentity([issuerOf(sts)], { time, send: () => answer.promise });
  const found = identity.verify(token(), time.now);
  const ended = answer.promise.then(() => identity.close());
  const body = Buffer.from(JSON.stringify(RESPONSES["assumed-role"].json));
  answer.resolve({ status: 200, headers: { "content-type": "application/json" }, body });
  await ended;
  t.match(await found, { principal: undefined, reason: "issuer-unavailable" });
});

const ERRORS = [
  ["signature-mismatch", "signature-invalid"],
  ["signature-expired", "signature-invalid"],
  ["not-yet-current", "signature-invalid"],
  ["bad-access-key", "key-unknown"],
  ["expired-session", "token-expired"],
] as const;

test("what STS refuses is a 401 that is remembered for a moment; that it is asked too often is not", async (t) => {
  const { judge, sts, token, identity, told } = await stage(t);
  for (const format of ["json", "xml"] as const) {
    sts.format = format;
    for (const [index, [holder, reason]] of ERRORS.entries()) {
      sts.keys.set(KEY.id, { key: KEY, holder });
      const one = token({ parameters: { "X-Amz-Expires": `${10 * index + (format === "json" ? 0 : 1)}` } });
      const before = sts.requests.length;
      for (let again = 0; again < 3; again++) t.equal(await judge(one), reason, `${holder}, ${format}`);
      t.equal(sts.requests.length, before + 1);
    }
  }
  t.equal(identity.status()[0]?.error, undefined, "none of it is a fault of STS");
  const xml = (code: string) => RESPONSES.throttling.xml.replace("Throttling", code);
  const json = (code: string) => ({
    ...RESPONSES.throttling.json,
    Error: { Code: code, Message: "Rate exceeded", Type: "Sender" },
  });
  for (const [status, code] of [
    [400, "Throttling"],
    [400, "ThrottlingException"],
    [400, "RequestLimitExceeded"],
    [403, "RegionDisabledException"],
    [403, "AccessDenied"],
    [429, "TooManyRequests"],
  ] as const) {
    for (const answer of [reply(json(code), status), reply(xml(code), status, { "content-type": "text/xml" })]) {
      sts.front.behave(answer);
      const one = token({ key: SESSION_KEY, parameters: { "X-Amz-Expires": `${status}` } });
      const before = sts.front.requests.length;
      for (let again = 0; again < 2; again++) t.equal(await judge(one), "issuer-unavailable", `${status} ${code}`);
      t.equal(sts.front.requests.length, before + 2, "and it is asked again");
      t.equal(identity.status()[0]?.error, undefined, "which one account can bring about");
    }
  }
  for (const status of [500, 502, 503]) {
    sts.front.behave(reply(json("InternalFailure"), status));
    t.equal(await judge(token({ key: SESSION_KEY })), "issuer-unavailable", `${status}`);
    t.match(identity.status()[0]?.error, `status ${status}`);
  }
  sts.front.behave("up");
  t.equal(await judge(token({ key: SESSION_KEY })), "proven");
  t.equal(identity.status()[0]?.error, undefined);
  t.equal(told.count("sts ok"), 2 * ERRORS.length + 1);
});

test("nobody has STS asked for more than his share, and a flood of keys that are made up takes nothing from known ones", async (t) => {
  const { judge, sts, time, token } = await stage(t, { sts: { rate: 2, strangers: 5, timeout: 2_000 } });
  let twin = 0;
  const next = (key = KEY) => judge(token({ key, parameters: { "X-Amz-Expires": `${twin++ % 900}` } }));
  const asked = async (key: typeof KEY, times: number) => {
    const before = sts.requests.length;
    const outcomes = [];
    for (let i = 0; i < times; i++) outcomes.push(await next(key));
    return { asked: sts.requests.length - before, outcomes: new Set(outcomes) };
  };
  t.strictSame(await asked(KEY, 10), { asked: 4, outcomes: new Set(["proven", "overloaded"]) });
  time.now += 1_000;
  t.equal((await asked(KEY, 10)).asked, 2, "so many a second");
  time.now -= 60_000;
  t.equal((await asked(KEY, 10)).asked, 0, "a clock that is set back gives nobody more");
  time.now += 60_000;
  time.now += 60_000;
  let strangers = 0;
  for (let i = 0; i < 50; i++) {
    const before = sts.requests.length;
    await next({ ...KEY, id: `AKIA${i}`.padEnd(20, "X") });
    strangers += sts.requests.length - before;
  }
  t.equal(strangers, 10, "of all that are unknown");
  t.equal(await next(SESSION_KEY), "overloaded", "who is new has to wait for them");
  t.strictSame((await asked(KEY, 2)).outcomes, new Set(["proven"]), "who is known does not");
  const forged = { ...KEY, secret: "another" };
  time.now += 60_000;
  t.strictSame((await asked(forged, 10)).asked, 4, "whoever signs");
});

test("STS is asked for no more tokens at a time than it may be, and for one only once", async (t) => {
  const { identity, sts, time, token } = await stage(t);
  sts.front.behave("silent");
  const found = Array.from({ length: 200 }, (_, i) =>
    identity.verify(token({ parameters: { "X-Amz-Expires": `${i}` } }), time.now),
  );
  const refused = found.filter((each) => !(each instanceof Promise));
  t.equal(refused.length, 200 - 128);
  t.match(refused[0], { reason: "overloaded" });
  t.equal(identity.verify(token({ parameters: { "X-Amz-Expires": "0" } }), time.now), found[0]);
  time.advance(2_000);
  for (const each of await Promise.all(found.slice(0, 128))) t.match(each, { reason: "issuer-unavailable" });
  sts.front.behave("up");
  t.match(await identity.verify(token(), time.now), { principal: {} }, "then there is room again");
});

test("hosts of STS are those that AWS's own clients ask", (t) => {
  const hosts = (region: string) =>
    (["regional", "dualstack", "fips", "dualstack-fips"] as const).map((kind) => hostOf(region, kind));
  // As botocore has them.
  const known = {
    "us-west-2": [
      "sts.us-west-2.amazonaws.com",
      "sts.us-west-2.api.aws",
      "sts-fips.us-west-2.amazonaws.com",
      "sts-fips.us-west-2.api.aws",
    ],
    "us-gov-west-1": [
      "sts.us-gov-west-1.amazonaws.com",
      "sts.us-gov-west-1.api.aws",
      "sts.us-gov-west-1.amazonaws.com",
      "sts-fips.us-gov-west-1.api.aws",
    ],
    "cn-north-1": [
      "sts.cn-north-1.amazonaws.com.cn",
      "sts.cn-north-1.api.amazonwebservices.com.cn",
      "sts-fips.cn-north-1.amazonaws.com.cn",
      "sts-fips.cn-north-1.api.amazonwebservices.com.cn",
    ],
    "us-iso-east-1": [
      "sts.us-iso-east-1.c2s.ic.gov",
      "sts.us-iso-east-1.api.aws.ic.gov",
      "sts-fips.us-iso-east-1.c2s.ic.gov",
      "sts-fips.us-iso-east-1.api.aws.ic.gov",
    ],
    "us-isob-east-1": [
      "sts.us-isob-east-1.sc2s.sgov.gov",
      "sts.us-isob-east-1.api.aws.scloud",
      "sts-fips.us-isob-east-1.sc2s.sgov.gov",
      "sts-fips.us-isob-east-1.api.aws.scloud",
    ],
    "eu-isoe-west-1": [
      "sts.eu-isoe-west-1.cloud.adc-e.uk",
      undefined,
      "sts-fips.eu-isoe-west-1.cloud.adc-e.uk",
      undefined,
    ],
    "us-isof-south-1": [
      "sts.us-isof-south-1.csp.hci.ic.gov",
      undefined,
      "sts-fips.us-isof-south-1.csp.hci.ic.gov",
      undefined,
    ],
    "eusc-de-east-1": [
      "sts.eusc-de-east-1.amazonaws.eu",
      "sts.eusc-de-east-1.api.amazonwebservices.eu",
      "sts-fips.eusc-de-east-1.amazonaws.eu",
      "sts-fips.eusc-de-east-1.api.amazonwebservices.eu",
    ],
    "not-a-region": [undefined, undefined, undefined, undefined],
  };
  for (const [region, expected] of Object.entries(known)) t.strictSame(hosts(region), expected, region);
  t.equal(hostOf("us-west-2", "global"), "sts.amazonaws.com");
  t.equal(hostOf("cn-north-1", "global"), undefined);
  t.strictSame(Object.keys(known).map(partitionOf), [
    "aws",
    "aws-us-gov",
    "aws-cn",
    "aws-iso",
    "aws-iso-b",
    "aws-iso-e",
    "aws-iso-f",
    "aws-eusc",
    undefined,
  ]);
  t.strictSame(endpointsOf(["us-west-2"], ["regional", "global"]), {
    [HOST]: "us-west-2",
    "sts.amazonaws.com": "us-east-1",
  });
  t.end();
});

const SECTION = `{ type: aws-iam, accounts: ["${ACCOUNT}"], regions: [eu-central-1, us-west-2], endpoints: [regional, fips], server_id: ingress.example.com, server_id_header: x-ours, credentials: [authorization], max_age: 5m, clock_tolerance: 10s, sts: { rate: 20, strangers: 100, timeout: 1s }, ca: authority.pem, proxy: none }`;

const SERVER_ID_RIGHT =
  'the name of this very ingress, which clients sign: letters, digits, `.`, `_`, `:` and `-`, at most 128. Not that of an EKS cluster, which would take the same tokens, such as "ingress.example.com"';

/** What is changed in a section with every key, and what is told of it, without its place. */
const MISTAKES: readonly (readonly [from: string, to: string, ...faults: string[]])[] = [
  [
    `accounts: ["${ACCOUNT}"], `,
    "",
    'no "accounts" here; a list of the AWS accounts whose roles and users are taken; anybody in the world has one of some account, such as ["123456789012"]',
  ],
  [`["${ACCOUNT}"]`, `[${ACCOUNT}]`, "the number 123456789012; the 12 digits of an AWS account, in quotes"],
  [
    `["${ACCOUNT}"]`,
    "[]",
    'an empty list; a list of the AWS accounts whose roles and users are taken; anybody in the world has one of some account, such as ["123456789012"]',
  ],
  [`["${ACCOUNT}"]`, '["1234-5678-9012"]', 'the text "1234-5678-9012"; the 12 digits of an AWS account, in quotes'],
  ["us-west-2", "us-west", 'the text "us-west"; the name of an AWS region, such as eu-central-1'],
  ["us-west-2", "'*'", 'the text "*"; the name of an AWS region, such as eu-central-1'],
  [
    "us-west-2",
    "cn-north-1",
    'the text "cn-north-1" of the partition aws-cn; regions of one partition, here aws: accounts of another have nothing but their numbers in common with these',
  ],
  ["eu-central-1, us-west-2", "eu-isoe-west-1"],
  [
    "eu-central-1, us-west-2], endpoints: [regional, fips]",
    "eu-isoe-west-1], endpoints: [regional, dualstack]",
    'the text "dualstack"; an address that STS has: in eu-isoe-west-1 there is none of this kind',
  ],
  [
    "eu-central-1, us-west-2], endpoints: [regional, fips]",
    "cn-north-1], endpoints: [global]",
    'the text "global"; an address that STS has: in cn-north-1 there is none of this kind',
  ],
  ["[regional, fips]", "[regional, ipv6]", 'the text "ipv6"; one of regional, fips, dualstack, dualstack-fips, global'],
  [
    "server_id: ingress.example.com",
    "server_id: https://ingress.example.com",
    `the text "https://ingress.example.com"; ${SERVER_ID_RIGHT}`,
  ],
  ["server_id: ingress.example.com, ", "", `no "server_id" here; ${SERVER_ID_RIGHT}`],
  [
    "x-ours",
    "x-amz-ours",
    'the text "x-amz-ours"; the header that clients sign with it, in lower case, beginning with `x-` and not with `x-amz-`, such as "x-k8s-aws-id"',
  ],
  [
    "x-ours",
    "authorization",
    'the text "authorization"; the header that clients sign with it, in lower case, beginning with `x-` and not with `x-amz-`, such as "x-k8s-aws-id"',
  ],
  [
    "credentials: [authorization]",
    "credentials: [{ header: x-aws-token }]",
    "a mapping; `from: client`, or `from: [NETWORK]` of the hop that puts it there and takes away what clients send",
  ],
  ["max_age: 5m", "max_age: 1h", 'the text "1h"; from 1m to 15m'],
  ["clock_tolerance: 10s", "clock_tolerance: 1h", 'the text "1h"; from 0s to 5m'],
  ["rate: 20", "rate: 0", "the number 0; a whole number from 1 to 10000: requests a second for one access key"],
  [
    "strangers: 100",
    "strangers: many",
    'the text "many"; a whole number from 1 to 10000: requests a second for all access keys together that have proven nobody yet',
  ],
  ["timeout: 1s", "timeout: 1m", 'the text "1m"; from 100ms to 10s'],
  [
    "timeout: 1s",
    "timeouts: 1s",
    'unknown key "timeouts"; did you mean "timeout"? Known keys: rate, strangers, timeout',
  ],
  ["authority.pem", "none.pem", "a file that cannot be read"],
  [
    "proxy: none",
    "proxy: x",
    "an address that is not http://HOST:PORT; `environment`, `none`, or a proxy's address, such as http://proxy.example.com:3128",
  ],
  [
    "proxy: none",
    "issuer: https://sts.amazonaws.com",
    'unknown key "issuer"; Known keys: type, accounts, regions, endpoints, server_id, server_id_header, credentials, max_age, clock_tolerance, sts, ca, proxy',
  ],
];

test("each mistake in its section is told, and its defaults are as documented", (t) => {
  const files = new Files(t.testdir());
  const whole = (section: string) => SHORTEST.replace(/^issuers: .*$/m, `issuers: { aws: ${section} }`);
  for (const [from, to, ...faults] of MISTAKES) {
    t.ok(SECTION.includes(from), from);
    const told = files.faults(whole(SECTION.replace(from, to))).map((fault) => fault.replace(/^\d+:\d+: /, ""));
    t.match(told, faults, to);
    t.equal(told.length, faults.length, to);
  }
  const loaded = files.load(
    whole(`{ type: aws-iam, accounts: ["${ACCOUNT}"], regions: [us-west-2], server_id: here, proxy: none }`),
  );
  t.match("config" in loaded ? loaded.config.issuers : loaded.faults, [
    {
      ...issuerOf({ proxy: { port: 0 }, ca: "" } as Sts),
      audiences: ["here"],
      serverId: { header: "x-k8s-aws-id", value: "here" },
      sts: { rate: 10, strangers: 50, timeout: 2_000 },
      ca: undefined,
      proxy: undefined,
    },
  ]);
  const twice = SHORTEST.replace(/^issuers: .*$/m, `issuers: { aws: ${SECTION}, more: ${SECTION} }`);
  t.match(files.faults(twice), [
    /^3:\d+: a mapping; one issuer for both: that at countersign.yaml:3:\d+ takes the same/,
  ]);
  t.end();
});

test("explain says of a refused token what was found and what was expected, and shows nothing that proves", async (t) => {
  const sts = await startSts(t, Date.now);
  sts.keys.set(KEY.id, { key: KEY, holder: "root" });
  const section = SECTION.replace("proxy: none", `proxy: "http://127.0.0.1:${sts.proxy.port}"`).replace(
    "x-ours",
    "x-k8s-aws-id",
  );
  const cwd = folderOf(t, {
    "countersign.yaml": `listen: { spop: [127.0.0.1:9000] }\npolicies: ./policies\nissuers: { aws: ${section} }\nhaproxy: { bind: ["*:80"], scheme: http }\n`,
    "policies/p.yaml":
      "services: { s: { hosts: [s.example.com], backend: s, allow: [authenticated], routes: [{ name: r, match: [GET /] }] } }\n",
    "authority.pem": sts.ca,
  });
  const token = (changes: Partial<Choice> = {}) => tokenOf(presign({ at: Date.now(), ...changes }));
  for (const [refused, reason, found] of [
    [
      token({ host: "sts.eu-west-1.amazonaws.com" }),
      "issuer-unknown",
      /its host is "sts\.eu-west-1\.amazonaws\.com"; `regions` and `endpoints` of aws: sts\.eu-central-1\.amazonaws\.com, sts-fips/,
    ],
    [
      token({ headers: {} }),
      "audience-not-accepted",
      /X-Amz-SignedHeaders is "host"; expected: .*`x-k8s-aws-id: ingress\.example\.com`, as `aws eks get-token --cluster-name ingress/,
    ],
    [token({ parameters: { "X-Amz-Expires": undefined } }), "token-malformed", /X-Amz-Expires is absent/],
    [
      token({ parameters: { "X-Amz-Security-Token": "hunter 2" } }),
      "token-malformed",
      /X-Amz-Security-Token is not as it must be/,
    ],
    [
      token({ at: Date.now() - 400_000 }),
      "token-expired",
      /it was signed at "\d{8}T\d{6}Z"; `max_age` is 300 s, `clock_tolerance` 10 s/,
    ],
    [token({ method: "POST" }), "signature-invalid", /STS says that it is signed otherwise; expected: a GET/],
    [token({ key: { ...KEY, id: "AKIAI44QH8DHBEXAMPLE" } }), "key-unknown", /STS does not know its access key/],
    [token(), "identity-not-accepted", /of the root user of an account/],
  ] as const) {
    writeFileSync(join(cwd, "token"), refused);
    const { out } = await command(["explain", "GET https://s.example.com/", "--token-file", "token"], { cwd });
    t.match(out, `does not prove anything: ${reason}\n`);
    t.match(out, found);
    t.notMatch(out, /hunter|AKIA|Signature=|k8s-aws-v1/);
  }
});

test("cases of test files may come with an ARN", async (t) => {
  const cwd = folderOf(t, {
    "countersign.yaml": `listen: { spop: [127.0.0.1:9000] }\npolicies: ./policies\nissuers: { aws: ${SECTION} }\nhaproxy: { bind: ["*:80"], scheme: http }\n`,
    "authority.pem": STS_AUTHORITY,
    "policies/p.yaml": `
roles:
  reporting: [{ issuer: aws, arn: "${ROLE}reporting" }]
  power: [{ issuer: aws, permission_set: PowerUser, account: "${ACCOUNT}" }]
services:
  s: { hosts: [s.example.com], issuers: [aws], backend: s, routes: [{ name: r, match: [GET /], allow: [reporting, power] }] }
`,
    "policies/p.test.yaml": `
cases:
  - { name: the role, request: GET https://s.example.com/, principal: { issuer: aws, subject: a, arn: "${ROLE}reporting" }, expect: { verdict: allow } }
  - { name: a person, request: GET https://s.example.com/, principal: { issuer: aws, subject: a, arn: "${ROLE}${SSO}" }, expect: { verdict: allow } }
  - { name: another role, request: GET https://s.example.com/, principal: { issuer: aws, subject: a, arn: "${ROLE}other" }, expect: { verdict: deny, reason: role-missing } }
  - { name: nobody's, request: GET https://s.example.com/, principal: { issuer: aws, subject: a }, expect: { verdict: deny, reason: role-missing } }
`,
  });
  const judged = await command(["test"], { cwd });
  t.equal(judged.code, 0, judged.out + judged.err);
  const path = `${ROLE}team/reporting`;
  writeFileSync(
    join(cwd, "policies/p.test.yaml"),
    `cases: [{ name: x, request: GET https://s.example.com/, principal: { issuer: aws, subject: a, arn: "${path}" }, expect: { verdict: allow } }]`,
  );
  t.match(
    await command(["test"], { cwd }),
    { code: 78, err: /the ARN of an AWS role or user/ },
    "as AWS proves it: without the path",
  );
});
