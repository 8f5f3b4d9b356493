import { test } from "tap";
import { barriers, fetched, fetchedUntil, withoutRefusals } from "../support/chromium.ts";
import { startPeople } from "../support/people.ts";
import { RedisServer } from "../support/redis.ts";
import { command, folderOf } from "../support/serve.ts";

test("people in Chromium whose sessions are in a store", async (t) => {
  const redis = await RedisServer.start(t, "the-password", folderOf(t, {}));
  const { provider, folder, reached, everywhere } = await startPeople(t, redis.url);
  provider.lasts = 4;
  const people = await everywhere();
  provider.lasts = 3600;

  await t.test("their tokens end under 20 requests at a time, and the provider has a new key", async (t) => {
    provider.rotate();
    const seen = new Set<number>();
    const ask = async () => {
      const all = people.flatMap(({ page }) => Array.from({ length: 20 }, (_, n) => fetched(page, `/v1/${n}`)));
      for (const status of await Promise.all(all)) seen.add(status);
    };
    while (provider.tokenCalls < 2 * people.length) await ask();
    await ask();
    t.strictSame([...seen], [200]);
    t.equal(provider.tokenCalls, 2 * people.length, "one login and one refresh each");
    for (const { complaints } of people) t.strictSame(complaints, []);
  });

  await t.test("while the store is away nobody is signed in or out, and afterwards nothing is lost", async (t) => {
    await redis.stop();
    for (const { page, origin } of people) {
      await fetchedUntil(page, 503, 200);
      await page.goto(`${origin}/v1/b`);
      t.strictSame([page.url(), await page.title()], [`${origin}/v1/b`, "503 Service Unavailable"]);
      t.strictSame(await barriers(page), []);
      await page.goto(`${origin}/.countersign/logout`);
      await page.click("button");
      await page.waitForFunction("document.title !== 'Do you want to sign out?'");
      t.equal(await page.title(), "You could not be signed out");
      t.strictSame(await barriers(page), []);
    }
    await redis.begin();
    for (const { page, origin, complaints } of people) {
      while ((await page.goto(`${origin}/v1/a`))?.status() === 503);
      t.equal(await page.textContent("body"), "ok");
      t.strictSame(withoutRefusals(complaints), []);
    }
    t.equal(provider.tokenCalls, 2 * people.length, "nobody had to sign in again");
  });

  await t.test("their provider signs them out from behind", async (t) => {
    const logins = provider.tokenCalls;
    for (const person of people) {
      reached.by = person;
      const theirs = await person.tab();
      await theirs.goto(`${provider.issuer}/session/end`);
      await theirs.click("button[name=logout]");
      await theirs.waitForURL(`${provider.issuer}/session/end/success`);
    }
    reached.by = undefined;
    for (const { page } of people) {
      await fetchedUntil(page, 401, 200);
      await page.reload();
      t.equal(await page.textContent("body"), "ok");
    }
    t.equal(provider.tokenCalls, logins + people.length, "each page that is asked for signs in again");
  });

  await t.test("their provider signs them out by a frame, although no cookie comes with it", async (t) => {
    for (const { tab, origin } of people) {
      provider.frame = `${origin}/.countersign/frontchannel-logout/idp`;
      const theirs = await tab();
      await theirs.goto(`${provider.issuer}/session/end`);
      await theirs.click("button[name=logout]");
      await theirs.waitForURL(`${provider.issuer}/session/end/success`);
      t.equal(await theirs.frames()[1]?.title(), "You are signed out");
    }
    for (const { page } of people) await fetchedUntil(page, 401, 200);
  });

  await t.test("one command signs them out everywhere", async (t) => {
    for (const { page, origin } of people) await page.goto(`${origin}/v1/a`);
    const { out } = await command(["sessions", "revoke", "--subject", "alice"], { cwd: folder });
    t.equal(out, `${people.length} sessions ended\n`);
    for (const { page } of people) await fetchedUntil(page, 401, 200);
    for (const { complaints } of people) t.strictSame(withoutRefusals(complaints), []);
  });
});
