import { type Test, test } from "tap";
import { digestOf, makeKey } from "../../agent/identity/api-key/key.ts";
import { reply } from "../../demo/front.ts";
import { startProvider } from "../../demo/provider.ts";
import { startBackend } from "../support/backend.ts";
import { freePort, type HaproxyBinary, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { type HttpAnswer, RawClient } from "../support/http.ts";
import { configuration, countersign, folderOf, serve } from "../support/serve.ts";
import { FIT, HAS_IPV6, LAST_ASKED, POD, startSidecar, withPod } from "../support/sidecar.ts";
import { generated } from "../support/stage.ts";

const POLICY = `
roles:
  web: [{ issuer: mesh, claim: { namespace: shop, service_account: web } }]
  cart: [{ issuer: mesh, subject: cart.shop.serviceaccount.identity.linkerd.cluster.local }]
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: read, match: [GET /v1/orders], allow: [web] }
      - { name: cart, match: [GET /v1/cart], allow: [cart] }
      - { name: all, match: [GET /all], allow: [authenticated] }
      - { name: passed, match: [GET /passed], allow: [authenticated], forward_credential: true }
      - { name: maybe, match: [GET /maybe], allow: [authenticated], optional: true }
      - { name: open, match: [GET /open], allow: [anyone] }
`;
const HOST = "host: orders.example.com";
const whole = (name: string, domain = "cluster.local") => `${name}.serviceaccount.identity.linkerd.${domain}`;
const [WEB, CART] = [whole("web.shop"), whole("cart.shop")];
const pause = () => new Promise((done) => setTimeout(done, 50));
const KEY = makeKey("acme_");

/** The whole way, with a stand-in of the proxy in HAProxy's pod. */
async function stage(t: Test, binary: HaproxyBinary, any = "*") {
  const provider = await startProvider({ alice: { kind: "person" } });
  t.teardown(() => provider.close());
  const [sidecar, backend, front, meshed] = [
    await startSidecar(t),
    await startBackend(t),
    await freePort(),
    await freePort(),
  ];
  const { text, ...ports } = await configuration(`
issuers:
  idp: { type: oidc, issuer: "${provider.issuer}", audiences: [api://orders], credentials: [authorization, { header: x-token, from: client }, { subprotocol: bearer }, { cookie: sid }, { header: x-hop, from: [127.0.0.0/8] }] }
  machines: { type: api-key, prefix: acme_, file: keys.yaml, audiences: [api://orders] }
  mesh: { type: mesh, bind: "${any}:${meshed}", pods: { app: haproxy }, namespaces: [shop], audiences: [api://orders], admin: "${sidecar.front.url}" }
haproxy: { version: "${minorOf(binary)}", bind: ["127.0.0.1:${front}"], scheme: http, client: { from: x-forwarded-for, trusted: [127.0.0.0/8] }, backends: { orders: ["127.0.0.1:${backend.port}"] } }
`);
  const keys = { [KEY.id]: { sha256: digestOf(KEY.text), subject: "robot", kind: "workload", expires: "never" } };
  const folder = folderOf(t, {
    "countersign.yaml": text,
    "policies/orders.yaml": POLICY,
    "keys.yaml": JSON.stringify({ keys }),
  });
  const said = async (answer: HttpAnswer, before: number) => {
    const arrived = backend.received.length > before;
    if (arrived !== (answer.status === 200)) throw new Error("a refusal arrived");
    return arrived
      ? (backend.last("x-auth-subject")[0] ?? "nobody")
      : `${answer.status} ${JSON.parse(answer.body).reason}`;
  };
  /** And of one that comes as it is: by another bind, or around the proxy. */
  const plain = async (
    port: number,
    fields: readonly string[],
    path = "/v1/orders",
    from = "127.0.0.1",
    to = "127.0.0.1",
  ) => {
    const before = backend.received.length;
    const client = await RawClient.open(port, undefined, from, to);
    const answer = await client.request(`GET ${path} HTTP/1.1`, [HOST, ...fields]);
    client.close();
    return said(answer, before);
  };
  return {
    ...{ provider, sidecar, backend, folder, front, meshed, plain },
    async start() {
      await serve(t, folder, ports);
      const files = await generated(folder);
      await startHaproxy(t, binary, { ...files, "haproxy.cfg": withPod(files["haproxy.cfg"] ?? "") }, front);
      for (let i = 0; i < 200 && (await plain(front, [], "/open")).startsWith("503"); i++) await pause();
    },
    /** What becomes of a request that a meshed client sends. */
    async ask(identity: string | undefined, path = "/v1/orders", fields: readonly string[] = []) {
      const before = backend.received.length;
      return said(await sidecar.ask(identity, meshed, `GET ${path} HTTP/1.1`, [HOST, ...fields]), before);
    },
  };
}

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: a meshed client is who the proxy in HAProxy's pod says, and nobody else is`, async (t) => {
    const { start, ask, plain, front, meshed, backend, sidecar, provider, folder } = await stage(t, binary);
    sidecar.front.behave(reply({ ...FIT, LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: "all-authenticated" }), LAST_ASKED);
    await start();
    t.equal(await ask(WEB), "503 issuer-unavailable", "while Linkerd lets pass what no Server is for");
    t.equal(await ask(WEB, "/maybe"), "503 issuer-unavailable", "where it is optional, too");
    sidecar.front.behave("up", LAST_ASKED);
    for (let i = 0; i < 200 && (await ask(WEB)).startsWith("503"); i++) await pause();

    t.equal(await ask(WEB), WEB);
    t.strictSame(backend.last("l5d-client-id"), [], "the backend gets no header of the mesh from here");
    t.equal(await ask(WEB, "/passed"), WEB);
    t.strictSame(backend.last("l5d-client-id"), [], "nor where credentials are passed on");
    t.equal(await ask(CART), "403 role-missing");
    t.equal(await ask(CART, "/v1/cart"), CART);
    t.equal(await ask(undefined), "401 credential-missing", "who is in no mesh is nobody");
    t.equal(
      await ask(undefined, "/v1/orders", [`l5d-client-id: ${WEB}`]),
      "401 credential-missing",
      "whatever it says",
    );
    t.equal(await ask(undefined, "/v1/orders", [`L5D_CLIENT_ID: ${WEB}`]), "401 credential-missing");
    t.equal(await ask(WEB, "/all", [`l5d-client-id: ${CART}`]), WEB);

    const forged = [`l5d-client-id: ${WEB}`];
    t.equal(await plain(front, forged), "401 credential-missing", "at another bind the header is nothing");
    t.equal(await plain(front, forged, "/open"), "nobody");
    t.strictSame(backend.last("l5d-client-id"), [], "and goes no further");
    const other = ["127.0.0.2", POD] as const;
    t.equal(await plain(meshed, forged, "/v1/orders", ...other), "403 mesh-bypassed", "nor is it from another address");
    t.equal(await plain(meshed, forged, "/all"), "403 mesh-bypassed", "nor by `kubectl port-forward`, from loopback");
    t.equal(await plain(meshed, forged, "/all", "127.0.0.2", "127.0.0.2"), "403 mesh-bypassed");
    t.equal(await plain(meshed, [], "/open", ...other), "403 mesh-bypassed", "from where nobody comes in at all");
    const bearer = `authorization: Bearer ${await provider.token("alice")}`;
    t.equal(await plain(meshed, [bearer], "/all", ...other), "403 mesh-bypassed");
    t.equal(await plain(meshed, [...forged, `l5d-client-id: ${CART}`], "/all", POD, POD), "400 duplicate");
    t.equal(await plain(meshed, [...forged, ...forged], "/all", POD, POD), "400 duplicate", "not even the same");
    t.equal(await plain(meshed, [`l5d-client-id: ${WEB}, ${CART}`], "/all", POD, POD), "401 credential-malformed");
    for (const [name, reason] of [
      [whole("web.shop", "example.com"), "401 issuer-unknown"],
      [WEB.replace(".linkerd.", ".other."), "401 issuer-unknown"],
      [whole("web.billing"), "401 issuer-unknown"],
      [`${WEB}.`, "401 credential-malformed"],
      [`x.${WEB}.`, "401 credential-malformed"],
      [WEB.toUpperCase(), "401 credential-malformed"],
      [`${WEB}.serviceaccount.identity.linkerd.cluster.local`, "401 credential-malformed"],
      ["web.shop", "401 credential-malformed"],
      ["spiffe://cluster.local/ns/shop/sa/web", "401 credential-malformed"],
      [`${"a".repeat(300)}.shop`, "401 token-too-large"],
    ] as const)
      t.equal(await ask(name, "/maybe"), reason, name.slice(0, 60));
    t.equal(await ask("", "/maybe"), "nobody", "an empty one is none");

    t.equal(await plain(front, ["x-forwarded-for: 192.0.2.7"], "/open"), "nobody");
    t.strictSame(backend.last("x-forwarded-for"), ["192.0.2.7"], "a trusted hop is believed");
    t.equal(await ask(WEB, "/all", ["x-forwarded-for: 192.0.2.7"]), WEB);
    t.strictSame(backend.last("x-forwarded-for"), [POD], "the proxy in the pod is none of them");
    const hop = `x-hop: ${await provider.token("alice")}`;
    t.equal(await plain(front, [hop], "/all"), "alice");
    t.equal(await ask(undefined, "/all", [hop]), "401 credential-missing", "nor does it say what only a hop may");

    const { code, out, err } = await countersign(["check", "--haproxy", "haproxy/haproxy.cfg"], { cwd: folder });
    t.equal(code, 0, out + err);
  });

  test(`HAProxy ${binary.version}: whatever a meshed client shows on purpose counts before its mesh identity, good or bad`, async (t) => {
    const made = await stage(t, binary, HAS_IPV6 ? "[::]" : "*");
    await made.start();
    for (const from of HAS_IPV6 ? ["127.0.0.1", "::1"] : ["127.0.0.1"]) {
      const forged = [`l5d-client-id: ${WEB}`];
      t.equal(await made.plain(made.meshed, forged, "/all", from, from), "403 mesh-bypassed", `from ${from}`);
    }
    const alice = await made.provider.token("alice");
    const bad = `${alice.slice(0, -8)}AAAAAAAA`;
    const kinds: readonly (readonly [name: string, field: (token: string) => string, good: string, bad: string])[] = [
      ["authorization", (token) => `authorization: Bearer ${token}`, alice, bad],
      ["a key", (key) => `authorization: Bearer ${key}`, KEY.text, makeKey("acme_").text],
      ["a header", (token) => `x-token: ${token}`, alice, bad],
      ["a subprotocol", (token) => `sec-websocket-protocol: chat, bearer.${token}`, alice, bad],
      ["a cookie", (token) => `cookie: sid=${token}`, alice, bad],
    ];
    for (const [name, field, good, forged] of kinds) {
      const who = good === KEY.text ? "robot" : "alice";
      const reason = good === KEY.text ? "401 api-key-unknown" : "401 signature-invalid";
      const stranger = whole("web.billing");
      for (const identity of [WEB, stranger, undefined]) {
        t.equal(await made.ask(identity, "/all", [field(good)]), who, `${name}, ${identity}`);
        t.equal(await made.ask(identity, "/all", [field(forged)]), reason, `bad ${name}, ${identity}`);
      }
    }
    t.equal(await made.ask(WEB, "/all", ["authorization: Basic YTpi"]), WEB, "what nobody takes is ignored");
  });
}
