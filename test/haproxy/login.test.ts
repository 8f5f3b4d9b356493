import { join } from "node:path";
import { type Test, test } from "tap";
import { startBackend } from "../support/backend.ts";
import { Browser, NAVIGATION } from "../support/browser.ts";
import { freePort, haproxies, startHaproxy } from "../support/haproxy.ts";
import { CLIENT, startLoginProvider } from "../support/login-provider.ts";
import { configuration, countersign, folderOf, serve } from "../support/serve.ts";
import { generated } from "../support/stage.ts";

const ORIGIN = "https://orders.example.com";
const CALLBACK = `${ORIGIN}/.countersign/callback`;
const COOKIE = "__Host-countersign";
const POLICY = `
roles:
  readers: [{ issuer: idp, group: readers }]
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: read, match: [GET /v1/orders], allow: [readers] }
      - { name: write, match: [POST /v1/orders], allow: [readers] }
      - { name: admin, match: [GET /admin], allow: [admins] }
      - { name: open, match: [GET /open], allow: [anyone] }
      - { name: socket, match: [GET /socket], allow: [readers] }
roles_:
`;

/** One provider, one agent and one backend for HAProxys of all versions. */
async function stage(t: Test) {
  const provider = await startLoginProvider(t, ACCOUNTS, [CALLBACK]);
  const backend = await startBackend(t);
  const [web, front] = [await freePort(), await freePort(3)];
  const { text, ...ports } = await configuration(
    `
issuers:
  idp: { type: oidc, issuer: "${provider.issuer}", audiences: [api://orders], login: { client: { id: ${CLIENT.id}, secret: "${CLIENT.secret}" }, scopes: [openid, email] } }
sessions: { origins: ["${ORIGIN}"], keys: sessions.json }
haproxy: { version: "2.6", bind: ["127.0.0.1:${front}"], scheme: https, backends: { orders: ["127.0.0.1:${backend.port}"] } }
`,
    `, web: 127.0.0.1:${web}`,
  );
  const policy = POLICY.replace("roles_:\n", "").replace(
    "roles:\n",
    "roles:\n  admins: [{ issuer: idp, group: admins }]\n",
  );
  const folder = folderOf(t, { "countersign.yaml": text, "policies/orders.yaml": policy });
  const rotated = await countersign(["keys", "rotate", join(folder, "sessions.json"), "--algorithm", "A256GCM"]);
  if (rotated.code !== 0) throw new Error(rotated.err);
  const served = await serve(t, folder, ports);
  const files = await generated(folder);
  const fronts: number[] = [];
  for (const [index, binary] of haproxies().entries()) {
    const port = front + index;
    const own = { ...files, "haproxy.cfg": (files["haproxy.cfg"] ?? "").replace(`:${front}\n`, `:${port}\n`) };
    await startHaproxy(t, binary, own, port);
    fronts.push(port);
  }
  return {
    provider,
    backend,
    served,
    folder,
    fronts,
    files,
    browser: (port = front) => new Browser({ "orders.example.com": port }),
  };
}

const ACCOUNTS = {
  alice: { groups: ["readers"], email: "alice@example.com" },
  mallory: { groups: [], email: "mallory@example.com" },
};

test("people log in by their browsers", async (t) => {
  const { provider, backend, fronts, browser, served } = await stage(t);
  for (const port of fronts) {
    await t.test(`HAProxy at ${port}`, async (t) => {
      const alice = browser(port);
      provider.who = "alice";
      const page = await alice.show(`${ORIGIN}/v1/orders?a=1&b=%2F`);
      t.equal(page.status, 200, page.body);
      t.equal(page.url.href, `${ORIGIN}/v1/orders?a=1&b=%2F`);
      t.strictSame(backend.last("x-auth-subject"), ["alice"]);
      t.strictSame(backend.last("cookie"), [], "the backend gets no cookie of ours");
    });
  }
  t.comment(served.lines.map((l) => JSON.stringify(l)).join("\n"));
});
