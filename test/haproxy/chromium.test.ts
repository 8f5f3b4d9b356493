import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { DEUTSCH } from "../../agent/web/login/texts/de.ts";
import { ENGLISH } from "../../agent/web/login/texts/en.ts";
import { barriers, fetched, fetchedUntil, withoutRefusals } from "../support/chromium.ts";
import { startPeople } from "../support/people.ts";
import { command } from "../support/serve.ts";

const COOKIE = "__Host-countersign";

test("people in Chromium", async (t) => {
  const { provider, backend, served, folder, text, ring, entrances, profile, everywhere } = await startPeople(t);
  for (const { version, origin, neighbour } of entrances) {
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
      await page.goBack();
      t.equal(await fetched(other, "/v1/a"), 401, "the other tab is signed out");
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
      await page.reload();
      t.equal(page.url(), there("/v1/again"));
      t.strictSame(complaints, []);
    });

    await t.test(`HAProxy ${version}: a frame of the provider's signs out where both are of one site`, async (t) => {
      const { page, tab, complaints } = await profile();
      for (const [at, status] of [
        // No cookie comes with it, and without a store nothing else tells whose session it is.
        [origin, 200],
        [neighbour, 401],
      ] as const) {
        await page.goto(`${at}/v1/a`);
        provider.frame = `${at}/.countersign/frontchannel-logout/idp`;
        const theirs = await tab();
        await theirs.goto(`${provider.issuer}/session/end`);
        await theirs.click("button[name=logout]");
        await theirs.waitForURL(`${provider.issuer}/session/end/success`);
        t.equal(await theirs.frames()[1]?.title(), "You are signed out");
        t.equal(await fetched(page, "/v1/b"), status, at);
      }
      provider.who = undefined;
      await page.reload();
      t.equal(await page.title(), "You were not signed in", "the provider asks who they are");
      provider.who = "alice";
      t.strictSame(withoutRefusals(complaints), []);
    });
  }

  const [{ origin = "" } = {}] = entrances;
  const there = (path: string) => `${origin}${path}`;

  await t.test("every page is for everybody, in both colour schemes, and in the reader's language", async (t) => {
    for (const texts of [ENGLISH, DEUTSCH]) {
      const { page, complaints } = await profile({ locale: texts.language });
      const shown = async ({ title }: { readonly title: string }) => {
        t.equal(await page.title(), title);
        t.strictSame(await barriers(page), [], title);
      };
      await page.goto(there("/.countersign/callback/idp?state=x&code=y"));
      await shown(texts.noCookies);
      await page.keyboard.press("Tab");
      t.equal(await page.evaluate("document.activeElement.getAttribute('href')"), "/.countersign/login");
      await page.goto(there("/.countersign/callback/idp?state=x&state=y"));
      await shown(texts.unreadable);
      await page.goto(there("/.countersign/signed-out"));
      await shown(texts.signedOut);
      provider.who = undefined;
      await page.goto(there("/v1/a"));
      await shown(texts.refused);
      provider.who = "alice";
      await page.goto(there("/v1/a"));
      await page.goto(there("/admin"));
      await shown({ title: "403 Forbidden" });
      for (let n = 0; n < 3; n++) await page.goto(there("/.countersign/login"));
      await shown(texts.loop);
      await page.goto(there("/.countersign/logout"));
      await shown(texts.signOut);
      // What has no content leaves the browser where it is, on the page that leads on.
      await page.route(`${provider.issuer}/**`, (route) => route.fulfill({ status: 204 }));
      await page.click("button");
      await page.waitForSelector("meta[http-equiv=refresh]", { state: "attached" });
      await shown(texts.leaving);
      await page.goto(there("/.countersign/callback/idp?state=x&code=y"));
      await shown(texts.unknown);
      t.strictSame(withoutRefusals(complaints), [], "no style, script or frame is missing");
    }
  });

  const people = await everywhere();

  await t.test("keys are rotated without a sign-out, here and at the provider", async (t) => {
    const logins = provider.tokenCalls;
    await command(["keys", "rotate", ring, "--algorithm", "A256GCM", "--after", "0s"]);
    await served.said("reloaded");
    provider.rotate();
    for (const { page, version } of people) {
      t.equal(await fetched(page, "/v1/b"), 200, version);
      await page.reload();
      t.equal(await page.textContent("body"), "ok");
    }
    t.equal(provider.tokenCalls, logins, "nobody had to sign in again");
    for (const { page, origin } of people) {
      await page.context().clearCookies();
      await page.goto(`${origin}/v1/a`);
      t.equal(await page.textContent("body"), "ok", "by the new keys people sign in");
    }
    t.equal(provider.tokenCalls, logins + people.length);
  });

  await t.test("a provider that is away ends no session, and people sign in once it is back", async (t) => {
    provider.front.behave("reset");
    for (const { page, version } of people) t.equal(await fetched(page, "/v1/c"), 200, version);
    const others = await everywhere();
    for (const { page } of others) {
      t.equal(await page.title(), "You cannot sign in now");
      t.strictSame(await barriers(page), []);
      t.equal(await page.getAttribute("a", "href"), "/.countersign/login");
    }
    provider.front.behave("up");
    for (const { page, origin, complaints } of others) {
      // Who was away is not asked again for some seconds.
      while (page.url() !== `${origin}/`) await page.goto(`${origin}/.countersign/login`);
      t.not(await page.title(), "You cannot sign in now", "and then people sign in again");
      t.strictSame(withoutRefusals(complaints), []);
    }
  });

  await t.test("who is taken back is signed out at the next request, where browsers keep the sessions", async (t) => {
    const { err } = await command(["sessions", "revoke", "--subject", "alice"], { cwd: folder });
    const entry = /^ {2}- .*$/m.exec(err)?.[0] ?? "";
    writeFileSync(join(folder, "revoked.yaml"), `revoked:\n${entry}\n`);
    for (const { page } of people) await fetchedUntil(page, 401, 200);
    for (const { page, complaints } of people) t.strictSame(withoutRefusals(complaints), [], page.url());
  });

  await t.test("of several providers people choose theirs", async (t) => {
    const reloads = served.lines.filter(({ msg }) => String(msg).startsWith("reloaded")).length;
    const other = `  other: { type: oidc, issuer: "http://127.0.0.1:1", audiences: [api://app], login: { client: { id: x, secret: "\${file:secret}" }, scopes: [openid], title: Another one } }\n`;
    writeFileSync(join(folder, "countersign.yaml"), text.replace("issuers:\n", `issuers:\n${other}`));
    await served.said("reloaded", reloads + 1);
    for (const { page, origin, complaints } of await everywhere()) {
      t.equal(await page.title(), "Sign in");
      t.strictSame(await barriers(page), []);
      await page.click("text=idp");
      await page.waitForURL(`${origin}/v1/a`);
      t.equal(await page.textContent("body"), "ok");
      t.strictSame(complaints, []);
    }
  });
});
