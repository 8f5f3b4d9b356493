import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { type Test, test } from "tap";
import { type AwsKey, type Choice, KEY, presign, SESSION_KEY, tokenOf } from "../../demo/sigv4.ts";
import { startBackend } from "../support/backend.ts";
import { freePort, type HaproxyBinary, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { configuration, countersign, folderOf, serve } from "../support/serve.ts";
import { generated } from "../support/stage.ts";
import { type Sts, startSts } from "../support/sts.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const CLI = join(ROOT, ".cache/awscli/1.46.3");
const SERVER_ID = "ingress.example.com";
const ACCOUNT = "123456789012";
const REASON = "the AWS CLI cannot be had here: see test/support/install-awscli.sh";

const POLICY = `
roles:
  role: [{ issuer: aws, arn: "arn:aws:iam::${ACCOUNT}:role/my-role-name" }]
  operators: [{ issuer: aws, account: "${ACCOUNT}", permission_set: PowerUser }]
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers:
      x-auth-arn: principal.arn
      x-auth-subject: principal.subject
      x-auth-session: principal.claims.session_name
      x-auth-kind: principal.kind
      x-auth-roles: list(principal.roles)
    routes:
      - { name: read, match: [GET /v1/orders], allow: [role, operators] }
      - { name: operate, match: [GET /v1/operate], allow: [operators] }
`;

/** The whole way, all of it real but STS: agent process, HAProxy with the generated files, backend. */
async function stage(t: Test, binary: HaproxyBinary) {
  const sts = await startSts(t, Date.now);
  for (const key of [KEY, SESSION_KEY]) sts.keys.set(key.id, { key, holder: "assumed-role" });
  const backend = await startBackend(t);
  const front = await freePort();
  const { text, ...ports } = await configuration(`
issuers:
  aws:
    type: aws-iam
    accounts: ["${ACCOUNT}"]
    regions: [us-west-2]
    endpoints: [regional, global]
    server_id: ${SERVER_ID}
    max_age: 5m
    ca: sts.pem
    proxy: http://127.0.0.1:${sts.proxy.port}
deadline: 5s
haproxy: { version: "${minorOf(binary)}", bind: ["127.0.0.1:${front}"], scheme: http, backends: { orders: ["127.0.0.1:${backend.port}"] } }
`);
  const folder = folderOf(t, { "countersign.yaml": text, "policies/orders.yaml": POLICY, "sts.pem": sts.ca });
  const served = await serve(t, folder, ports);
  await startHaproxy(t, binary, await generated(folder), front);
  const ask = async (token: string, path = "/v1/orders") => {
    const before = backend.received.length;
    const head = ["host: orders.example.com", `authorization: Bearer ${token}`];
    // Making a token takes a while, on a busy machine longer than HAProxy keeps a connection.
    const client = await RawClient.open(front);
    const answer = await client.request(`GET ${path} HTTP/1.1`, head).finally(() => client.close());
    const headers = Object.fromEntries(backend.received.slice(before).at(-1)?.headers ?? []);
    return { status: answer.status, headers, reason: answer.status === 200 ? "" : JSON.parse(answer.body).reason };
  };
  return { sts, folder, served, ask };
}

/** What the real AWS CLI prints, which asks nobody: there is nothing where it could. */
async function cliToken(key: AwsKey, args: readonly string[], more: Readonly<Record<string, string>> = {}) {
  const env = {
    PATH: process.env.PATH,
    HOME: "/nonexistent",
    PYTHONPATH: CLI,
    AWS_CONFIG_FILE: "/dev/null",
    AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
    AWS_EC2_METADATA_DISABLED: "true",
    HTTPS_PROXY: "http://127.0.0.1:9",
    AWS_ACCESS_KEY_ID: key.id,
    AWS_SECRET_ACCESS_KEY: key.secret,
    ...(key.session === undefined ? {} : { AWS_SESSION_TOKEN: key.session }),
    ...more,
  };
  const command = [join(CLI, "bin/aws"), "eks", "get-token", "--cluster-name", SERVER_ID, ...args];
  const { stdout } = await promisify(execFile)("python3", command, { env });
  return String(JSON.parse(stdout).status.token);
}

/** A token made by what the documentation says to write, with AWS's own signer. */
async function sdkToken(t: Test, { id, secret, session }: AwsKey): Promise<string> {
  const page = readFileSync(join(ROOT, "docs/identities/aws-iam.md"), "utf8");
  const [, written = ""] = /```js\n(.*?)```/s.exec(page) ?? [];
  const credentials = { accessKeyId: id, secretAccessKey: secret, sessionToken: session };
  const code = written.replaceAll("eu-central-1", "us-west-2").replace("credentials,", "credentials: CREDENTIALS,");
  const file = join(t.testdirName, `${id}.mjs`);
  writeFileSync(file, `const CREDENTIALS = ${JSON.stringify(credentials)};\n${code}\nexport { token };\n`);
  const { token }: { token: string } = await import(pathToFileURL(file).href);
  return token;
}

/** As aws-iam-authenticator makes it: Go sorts the parameters. Its signatures are the same (test/vectors/aws/sigv4.json). */
function authenticatorToken(choice: Partial<Choice> = {}): string {
  const url = presign({ at: Date.now(), key: SESSION_KEY, ...choice });
  return tokenOf(url.replace(/\?(.*)$/, (_, query: string) => `?${query.split("&").sort().join("&")}`));
}

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: an AWS role is let in by its token, and by no other`, async (t) => {
    t.testdir({});
    const { ask, sts, folder, served } = await stage(t, binary);
    const expected = {
      "x-auth-arn": `arn:aws:iam::${ACCOUNT}:role/my-role-name`,
      "x-auth-subject": `arn:aws:iam::${ACCOUNT}:role/my-role-name`,
      "x-auth-session": "my-role-session-name",
      "x-auth-kind": "workload",
      "x-auth-roles": "role",
      authorization: undefined,
    };
    const tokens: Record<string, string> = {
      "the SDK's": await sdkToken(t, KEY),
      "the SDK's, of a session": await sdkToken(t, SESSION_KEY),
      "aws-iam-authenticator's": authenticatorToken(),
    };
    for (const [whose, token] of Object.entries(tokens)) {
      const asked = sts.requests.length;
      for (let again = 0; again < 2; again++) t.match(await ask(token), { status: 200, headers: expected }, whose);
      t.equal(sts.requests.length, asked + 1, "and STS is asked once");
      t.equal((await ask(token, "/v1/operate")).reason, "role-missing");
    }
    await isRefused(t, ask, tokens["the SDK's"] ?? "");
    await isRefusedByLie(t, ask, sts);
    await isAPerson(t, ask, sts);
    const { out } = await explained(folder, tokens["aws-iam-authenticator's"] ?? "");
    t.match(out, `ARN ${expected["x-auth-arn"]}`);
    t.match(out, `+ role        role: { issuer "aws", arn `.replaceAll('"', ""));
    t.notMatch(served.lines.map((line) => JSON.stringify(line)).join("\n"), /X-Amz-Signature|k8s-aws-v1/);
    await t.test(
      "so is it by what the real aws eks get-token prints",
      { skip: existsSync(CLI) ? false : REASON },
      (t) => byTheCli(t, ask),
    );
  });
}

async function byTheCli(t: Test, ask: Ask) {
  const region = ["--region", "us-west-2"];
  for (const [whose, token] of [
    ["with keys", await cliToken(KEY, region)],
    ["of a session", await cliToken(SESSION_KEY, region)],
    ["without a region", await cliToken(KEY, [])],
  ] as const) {
    t.match(await ask(token), { status: 200, headers: { "x-auth-roles": "role" } }, whose);
  }
  const elsewhere = await cliToken(KEY, region, { AWS_ENDPOINT_URL_STS: "https://evil.example:8443/x" });
  t.match(await ask(elsewhere), { status: 401, reason: "token-malformed" });
  t.match(await ask(await cliToken(KEY, ["--region", "eu-central-1"])), { status: 401, reason: "issuer-unknown" });
}

type Ask = Awaited<ReturnType<typeof stage>>["ask"];

/** One byte, one second or one name is wrong. */
async function isRefused(t: Test, ask: Ask, good: string) {
  const signed = (changes: Partial<Choice>) => tokenOf(presign({ at: Date.now(), ...changes }));
  const other = good.at(-9) === "A" ? "B" : "A";
  for (const [token, status, reason] of [
    [good.slice(0, -9) + other + good.slice(-8), 401, /token-malformed|signature-invalid/],
    [good.slice(0, -1), 401, "token-malformed"],
    [`${good}=`, 401, "token-malformed"],
    [signed({ at: Date.now() - 301_000 }), 401, "token-expired"],
    [signed({ at: Date.now() + 40_000 }), 401, "token-not-yet-valid"],
    [signed({ headers: { "x-k8s-aws-id": "ingress.example.org" } }), 401, "signature-invalid"],
    [signed({ headers: {} }), 401, "audience-not-accepted"],
    [signed({ host: "sts.amazonaws.com.evil.example" }), 401, "issuer-unknown"],
    [signed({ key: { ...KEY, id: "AKIAI44QH8DHBEXAMPLE" } }), 401, "key-unknown"],
    [signed({ key: { ...KEY, secret: "another" } }), 401, "signature-invalid"],
    [good.replace("k8s-aws-v1.", "k8s-aws-v2."), 401, "issuer-unknown"],
  ] as const) {
    t.match(await ask(token), { status, reason, headers: {} });
  }
}

/** Whatever STS says that is not exactly an answer lets nobody in, and is nobody's fault. */
async function isRefusedByLie(t: Test, ask: Ask, sts: Sts) {
  const token = authenticatorToken({ parameters: { "X-Amz-Expires": "1" } });
  for (const behaviour of ["reset", "error"] as const) {
    sts.front.behave(behaviour);
    t.match(await ask(token), { status: 503, reason: "issuer-unavailable" }, behaviour);
  }
  sts.front.behave("up");
  sts.keys.set(SESSION_KEY.id, { key: SESSION_KEY, holder: "throttling" });
  t.match(await ask(token), { status: 503, reason: "issuer-unavailable" }, "asked too often");
  sts.keys.set(SESSION_KEY.id, { key: SESSION_KEY, holder: "assumed-role" });
  t.match(await ask(token), { status: 200 });
}

/** Somebody who has logged in to Identity Center. */
async function isAPerson(t: Test, ask: Ask, sts: Sts) {
  sts.keys.set(SESSION_KEY.id, { key: SESSION_KEY, holder: "sso" });
  const found = await ask(authenticatorToken({ parameters: { "X-Amz-Expires": "2" } }), "/v1/operate");
  t.match(found, { status: 200, headers: { "x-auth-kind": "person", "x-auth-session": "alice@example.com" } });
  sts.keys.set(SESSION_KEY.id, { key: SESSION_KEY, holder: "assumed-role" });
}

function explained(folder: string, token: string) {
  writeFileSync(join(folder, "token"), token);
  const request = "GET https://orders.example.com/v1/orders";
  return countersign(["explain", request, "--token-file", "token"], { cwd: folder });
}
