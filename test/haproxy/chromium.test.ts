import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { type Test, test } from "tap";
import { startBackend } from "../support/backend.ts";
import { SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";
import { startChromium } from "../support/chromium.ts";
import { freePort, haproxies, startHaproxy } from "../support/haproxy.ts";
import { CLIENT, startLoginProvider } from "../support/login-provider.ts";
import { RedisServer } from "../support/redis.ts";
import { command, configuration, folderOf, serve } from "../support/serve.ts";
import { generated } from "../support/stage.ts";

const HOST = "app.example.com";
const COOKIE = "__Host-countersign";
const POLICY = `
roles:
  readers: [{ issuer: idp, group: readers }]
services:
  app:
    hosts: [${HOST}]
    backend: app
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: pages, match: ["GET|POST /v1/{path...}"], allow: [readers] }
      - { name: admin, match: ["GET /admin"], allow: [nobody] }
`.replace("services:", "  nobody: [{ issuer: idp, subject: nobody }]\nservices:");
/** What Deque's rules look for, which stand for WCAG 2.2, A and AA. */
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

/** One provider, agent and backend behind these HAProxys, by TLS and HTTP/2. @param store of sessions */
async function stage(t: Test, versions = haproxies(), store = "") {
  const [web, front] = [await freePort(), await freePort(versions.length)];
  const origins = versions.map((_, index) => `https://${HOST}:${front + index}`);
  const provider = await startLoginProvider(
    t,
    { alice: { groups: ["readers"] } },
    origins.map((origin) => `${origin}/.countersign/callback/idp`),
    { refresh: store !== "" },
  );
  const backend = await startBackend(t);
  const { text, ...ports } = await configuration(
    `
issuers:
  idp: { type: oidc, issuer: "${provider.issuer}", audiences: [api://app], login: { client: { id: ${CLIENT.id}, secret: "\${file:secret}" }, scopes: [openid] } }
sessions: { origins: ${JSON.stringify(origins)}, keys: sessions.json${store} }
deadline: 10s
haproxy: { version: "2.6", bind: ["127.0.0.1:${front} ssl crt server.pem alpn h2,http/1.1"], scheme: https, backends: { app: ["127.0.0.1:${backend.port}"] } }
`,
    `, web: 127.0.0.1:${web}`,
  );
  const folder = folderOf(t, { "countersign.yaml": text, "policies/app.yaml": POLICY, secret: CLIENT.secret });
  const ring = join(folder, "sessions.json");
  await command(["keys", "rotate", ring, "--algorithm", "A256GCM"]);
  const served = await serve(t, folder, ports);
  const files = await generated(folder);
  for (const [index, binary] of versions.entries()) {
    const own = (files["haproxy.cfg"] ?? "").replace(`:${front} ssl`, `:${front + index} ssl`);
    const all = { ...files, "haproxy.cfg": own, "server.pem": SERVER_CERTIFICATE + SERVER_KEY };
    await startHaproxy(t, binary, all, front + index);
  }
  return { provider, backend, served, ring, versions, origins };
}

/** What of a page people with disabilities could not use. */
async function barriers(page: Page): Promise<readonly string[]> {
  await page.evaluate(AXE);
  const found = await page.evaluate(`axe.run({ runOnly: ${JSON.stringify(WCAG)} })`);
  const { violations } = found as { readonly violations: readonly { readonly id: string }[] };
  return violations.map(({ id }) => id);
}

/** The status of a request that a page's script makes. */
function fetched(page: Page, path: string, method = "GET"): Promise<number> {
  return page.evaluate(
    ([path, method]) => fetch(path ?? "", { method: method ?? "" }).then(({ status }) => status),
    [path, method],
  );
}

test("people in Chromium", async (t) => {
  const { provider, backend, served, ring, versions, origins } = await stage(t);
  const profile = await startChromium(t);
  for (const [index, { version }] of versions.entries()) {
    const origin = origins[index] ?? "";
    const there = (path: string) => `${origin}${path}`;

    await t.test(`HAProxy ${version}: sign in, tabs, scripts, WebSocket, the back button, sign out`, async (t) => {
      const { page, tab, complaints } = await profile();
      await page.goto(there("/v1/orders?a=1&b=%2F"));
      t.equal(page.url(), there("/v1/orders?a=1&b=%2F"));
      t.equal(await page.textContent("body"), "ok");
      t.strictSame(backend.last("x-auth-subject"), ["alice"]);
      t.equal(await fetched(page, "/v1/a"), 200);
      t.equal(await fetched(page, "/v1/a", "POST"), 200);
      const opened = await page.evaluate(`new Promise((resolve) => {
        const socket = new WebSocket("wss://" + location.host + "/v1/socket");
        socket.onopen = () => resolve("open");
        socket.onerror = () => resolve("refused");
      })`);
      t.equal(opened, "open");
      const other = await tab();
      await other.goto(there("/v1/other"));
      t.equal(await other.textContent("body"), "ok", "the other tab is signed in");
      await page.goto(there("/v1/second"));
      await page.goBack();
      t.equal(page.url(), there("/v1/orders?a=1&b=%2F"));
      t.strictSame(await page.evaluate("document.cookie"), "", "no script reads a cookie of ours");
      t.strictSame(complaints, []);

      await page.goto(there("/.countersign/logout"));
      t.strictSame(await barriers(page), []);
      await page.click("button");
      await page.waitForURL(`${provider.issuer}/session/end?**`);
      t.equal(
        (await page.context().cookies(origin)).find(({ name }) => name === COOKIE),
        undefined,
        "signed out here before the provider is asked",
      );
      await page.click("button[name=logout]");
      await page.waitForURL(there("/.countersign/signed-out?state=*"));
      t.equal(await page.title(), "You are signed out");
      t.strictSame(complaints, []);
      t.equal(
        (await page.context().cookies()).find(({ name }) => name === COOKIE),
        undefined,
      );
    });

    await t.test(`HAProxy ${version}: three tabs sign in at once, and a callback is shown again`, async (t) => {
      const { page, tab, complaints } = await profile();
      const tabs = [page, await tab(), await tab()];
      await Promise.all(tabs.map((each, n) => each.goto(there(`/v1/tab/${n}`))));
      for (const [n, each] of tabs.entries()) t.equal(each.url(), there(`/v1/tab/${n}`), await each.title());
      const callbacks: string[] = [];
      page.on("request", (request) => {
        if (request.url().includes("/.countersign/callback/idp?")) callbacks.push(request.url());
      });
      await page.context().clearCookies({ name: COOKIE });
      await page.goto(there("/v1/again"));
      const [callback = ""] = callbacks;
      await page.goto(callback);
      t.equal(page.url(), there("/v1/again"), "it leads to the same page");
      t.strictSame(complaints, []);
    });
  }

  const [origin = ""] = origins;
  const there = (path: string) => `${origin}${path}`;

  await t.test("every page is for everybody, in both colour schemes, and in the reader's language", async (t) => {
    for (const [colorScheme, locale, title] of [
      ["light", "en-GB", "Your browser does not keep our cookie"],
      ["dark", "de-CH", "Ihr Browser behält unser Cookie nicht"],
    ] as const) {
      const { page, complaints } = await profile({ colorScheme, locale });
      await page.goto(there("/.countersign/callback/idp?state=x&code=y"));
      t.equal(await page.title(), title);
      t.strictSame(await barriers(page), [], `${colorScheme}: no cookie`);
      await page.keyboard.press("Tab");
      t.equal(await page.evaluate("document.activeElement.getAttribute('href')"), "/.countersign/login");
      await page.goto(there("/.countersign/signed-out"));
      t.strictSame(await barriers(page), [], `${colorScheme}: signed out`);
      provider.who = undefined;
      await page.goto(there("/v1/a"));
      t.strictSame(await barriers(page), [], `${colorScheme}: refused`);
      provider.who = "alice";
      await page.goto(there("/v1/a"));
      await page.goto(there("/admin"));
      t.equal(await page.title(), "403 Forbidden");
      t.strictSame(await barriers(page), [], `${colorScheme}: HAProxy's own`);
      const statuses = complaints.filter((text) => !/status of 40[03]/.test(text));
      t.strictSame(statuses, [], "no style, script or frame is missing");
    }
  });

  await t.test("keys are rotated without a sign-out, and a provider that is away ends no session", async (t) => {
    const { page } = await profile();
    await page.goto(there("/v1/a"));
    await command(["keys", "rotate", ring, "--algorithm", "A256GCM", "--after", "0s"]);
    await served.said("reloaded");
    t.equal(await fetched(page, "/v1/b"), 200);
    provider.front.behave("reset");
    t.equal(await fetched(page, "/v1/c"), 200);
    const fresh = await profile();
    await fresh.page.goto(there("/v1/a"));
    t.equal(await fresh.page.title(), "You cannot sign in now");
    t.strictSame(await barriers(fresh.page), []);
    provider.front.behave("up");
    t.equal(await fresh.page.getAttribute("a", "href"), "/.countersign/login");
    // Who was away is not asked again for some seconds.
    while (fresh.page.url() !== there("/")) await fresh.page.goto(there("/.countersign/login"));
    t.not(await fresh.page.title(), "You cannot sign in now", "and then people sign in again");
  });
});

test("people in Chromium whose sessions are in a store", async (t) => {
  const redis = await RedisServer.start(t, "the-password", folderOf(t, {}));
  const store = `, store: { url: "${redis.url}", timeout: 2s }`;
  const { provider, origins } = await stage(t, haproxies().slice(-1), store);
  const profile = await startChromium(t);
  const { page, complaints } = await profile();
  const [origin = ""] = origins;
  provider.lasts = 4;
  await page.goto(`${origin}/v1/a`);
  provider.lasts = 3600;
  const statuses = async () => {
    const all = Array.from({ length: 20 }, (_, n) => fetched(page, `/v1/${n}`));
    return [...new Set(await Promise.all(all))];
  };
  while (provider.tokenCalls === 1) t.strictSame(await statuses(), [200], "its tokens end under 20 requests at a time");
  t.strictSame(await statuses(), [200]);
  t.equal(provider.tokenCalls, 2, "one token call");
  t.strictSame(complaints, []);

  await redis.stop();
  while ((await fetched(page, "/v1/b")) !== 503);
  await page.goto(`${origin}/v1/b`);
  t.strictSame(
    [page.url(), await page.title()],
    [`${origin}/v1/b`, "503 Service Unavailable"],
    "nobody is sent to log in",
  );
  await redis.begin();
  while ((await fetched(page, "/v1/b")) !== 200);
  await page.reload();
  t.equal(await page.textContent("body"), "ok");
  t.equal(provider.tokenCalls, 2, "nobody had to sign in again");
});
