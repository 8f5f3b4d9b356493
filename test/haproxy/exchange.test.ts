import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeJwt } from "jose";
import { test } from "tap";
import { type Behaviour, reply } from "../../demo/front.ts";
import { type HaproxyBinary, haproxies } from "../support/haproxy.ts";
import { stage } from "../support/stage.ts";

const POLICY = `
services:
  orders:
    hosts: [orders.example.com]
    issuers: [idp]
    backend: orders
    allow: [authenticated]
    routes:
      - name: stock
        match: ["GET /v1/stock/{item}"]
        upstream_token: { exchange: idp, audience: api://inventory, scopes: [inventory:read] }
      - { name: bills, match: [GET /v1/bills], upstream_token: { exchange: idp, audience: api://billing } }
      - { name: nobodys, match: [GET /v1/nobodys], upstream_token: { exchange: idp, audience: api://nobody } }
      - { name: read, match: [GET /v1/orders] }
`;
const SECRET = readFileSync(new URL("../../demo/client-secret", import.meta.url), "utf8");
const STOCK = "/v1/stock/7";

/** The whole way. The provider is oidc-provider with a grant for token exchange, which it comes without (demo/exchange.ts). */
async function exchanging(t: Parameters<typeof stage>[0], binary: HaproxyBinary) {
  const people = { alice: { kind: "person" }, bob: { kind: "person" }, carol: { kind: "person" } } as const;
  const configure = async (folder: string) => {
    const file = join(folder, "countersign.yaml");
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is what is to be written
    const client = 'client: { id: gateway, secret: "${file:secret}" }';
    const text = readFileSync(file, "utf8").replace("keys: {", `exchange: { ${client} }, keys: {`);
    writeFileSync(file, text);
  };
  const staged = await stage(t, binary, POLICY, people, "deadline: 1s", { secret: SECRET }, "", configure);
  await staged.untilAllowed();
  const asked = () => staged.provider.front.requests.filter((path) => path === "/token").length;
  return { ...staged, asked, token: (who: string) => staged.provider.token(who) };
}

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: a backend gets a token of its own or nothing, and never the client's`, async (t) => {
    const { ask, backend, asked, token, provider, refused, untilAllowed, served, log } = await exchanging(t, binary);
    const [alice, bob] = [await token("alice"), await token("bob")];
    const before = asked();
    const given = async (path: string, own: string) => {
      t.equal((await ask({ path, token: own })).status, 200, path);
      const [value = "", ...more] = backend.last("authorization");
      t.strictSame(more, [], "one");
      t.notOk(JSON.stringify(backend.received).includes(own), "nothing of the client's arrives");
      return value;
    };
    const stock = await given(STOCK, alice);
    t.match(stock, /^Bearer ey/);
    t.match(decodeJwt(stock.slice(7)), {
      iss: provider.issuer,
      sub: "alice",
      aud: "api://inventory",
      scope: "inventory:read",
      client_id: "gateway",
    });
    t.equal(asked(), before + 1, "the provider was asked");
    for (let i = 0; i < 3; i++)
      t.equal(await given("/v1/stock/8", alice), stock, "what is known is not asked for again");
    t.equal(asked(), before + 1);
    const bills = await given("/v1/bills", alice);
    t.equal(decodeJwt(bills.slice(7)).aud, "api://billing", "for another audience another one");
    t.equal(decodeJwt((await given(STOCK, bob)).slice(7)).sub, "bob", "and for another client's token");
    t.equal(asked(), before + 3);
    t.equal((await ask({ token: alice })).status, 200);
    t.strictSame(backend.last("authorization"), [], "a route that wants none has none");

    await refused(t, 403, "exchange-refused", { path: "/v1/nobodys", token: alice });
    await refused(t, 403, "exchange-refused", { path: "/v1/nobodys", token: alice });
    t.equal(asked(), before + 4, "a refusal is remembered");
    const told = () => served.lines.find(({ reason }) => reason === "exchange-refused");
    while (told() === undefined) await once(served.child, "lines");
    t.equal(told()?.claim, "invalid_target", "the log says how the issuer calls it");
    await refused(t, 400, "duplicate", { path: STOCK, token: alice, header: `authorization: ${stock}` });
    await refused(t, 401, "audience-not-accepted", { path: STOCK, token: stock.slice(7) });
    const written = `${JSON.stringify(served.lines)}${log.join("")}${(await served.page("/status")).text}`;
    for (const secret of [alice, bob, stock, bills])
      t.notOk(written.includes(secret.slice(-40)), "no log tells a token");
    t.match((await served.page("/status")).text, /"upstream_tokens":\s*\{\s*"entries":\s*3/);
    t.match(
      (await served.page("/metrics")).text,
      'countersign_issuer_fetches_total{issuer="idp",what="exchange",outcome="ok"} 4',
    );

    // Where there is no token to be had, nothing passes.
    const [known, kept] = [alice, [stock]];
    const bearer = { issued_token_type: "urn:ietf:params:oauth:token-type:access_token", token_type: "Bearer" };
    const good = { access_token: "x".repeat(20), ...bearer, expires_in: 300 };
    const unavailable = /^exchange-unavailable$/;
    const rows: readonly (readonly [name: string, behave: (own: string) => Behaviour, reason: RegExp])[] = [
      ["reset", () => "reset", unavailable],
      ["an error", () => "error", unavailable],
      // On a busy machine HAProxy may give up first.
      ["silence", () => "silent", /^(?:deadline-exceeded|agent-unavailable)$/],
      ["no JSON", () => reply("no JSON"), unavailable],
      ["the client's own token", (own) => reply({ ...good, access_token: own }), unavailable],
      ["another kind of token", () => reply({ ...good, token_type: "DPoP" }), unavailable],
      ["two words", () => reply({ ...good, access_token: "two words" }), unavailable],
      ["not our client", () => reply({ error: "invalid_client" }, 401, { "www-authenticate": "Basic" }), unavailable],
      ["no such grant", () => reply({ error: "unsupported_grant_type" }, 400), unavailable],
      ["elsewhere", () => reply("", 302, { location: `${provider.issuer}/elsewhere` }), unavailable],
      ["too long", () => reply({ ...good, access_token: "y".repeat(5000) }), /^header-too-long$/],
      ["not this token", () => reply({ error: "invalid_grant" }, 400), /^exchange-refused$/],
    ];
    for (const [name, behave, reason] of rows) {
      provider.front.behave("up", "/token");
      const own = await token("bob");
      provider.front.behave(behave(own), "/token");
      const before = backend.received.length;
      const answer = await ask({ path: STOCK, token: own });
      const said = JSON.parse(answer.body);
      t.match(said.reason, reason, name);
      t.equal(answer.status, /refused|long/.test(said.reason) ? 403 : 503, name);
      t.equal(answer.headers["retry-after"], answer.status === 503 ? "1" : undefined, name);
      t.equal(backend.received.length, before, "nothing arrived");
      t.equal((await ask({ path: STOCK, token: known })).status, 200, "who has one goes on");
      t.strictSame(backend.last("authorization"), kept);
    }
    t.notOk(provider.front.requests.includes("/elsewhere"), "nobody is followed elsewhere");
    provider.front.behave("up", "/token");
    await untilAllowed();
    const fresh = await token("carol");
    t.equal((await ask({ path: STOCK, token: fresh })).status, 200, "and once it is up again, all is well");
  });
}
