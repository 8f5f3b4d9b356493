import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { chromium, type Page } from "playwright-core";
import type { Test } from "tap";

const UNPACKED = resolve(import.meta.dirname, "../../.cache/chromium/bin/chromium");
/** What Deque's rules look for, which stand for WCAG 2.2, A and AA. */
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

/**
 * Debian's Chromium, which finds all hosts of `example.com` on this machine and takes any certificate. It ends with the
 * test.
 *
 * @returns a new profile's page at each call, and what its console and its scripts have complained of so far
 */
export async function startChromium(t: Test): Promise<(options?: ProfileOptions) => Promise<Profile>> {
  const browser = await chromium.launch({
    executablePath: existsSync(UNPACKED) ? UNPACKED : "/usr/bin/chromium",
    chromiumSandbox: false,
    args: ["--host-resolver-rules=MAP *.example.com 127.0.0.1"],
  });
  t.teardown(() => browser.close());
  return async (options = {}) => {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
    const complaints: string[] = [];
    context.on("console", (message) => {
      // Whatever a browser asks for by itself, no page of ours has named.
      if (message.location().url.endsWith("/favicon.ico")) return;
      if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
    });
    context.on("weberror", (error) => complaints.push(error.error().message));
    return { page: await context.newPage(), tab: () => context.newPage(), complaints };
  };
}

/** What of a page people with disabilities could not use, in light or in dark. */
export async function barriers(page: Page): Promise<readonly string[]> {
  const all: string[] = [];
  await page.evaluate(AXE);
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const found = await page.evaluate(`axe.run({ runOnly: ${JSON.stringify(WCAG)}, resultTypes: ["violations"] })`);
    const { violations } = found as { readonly violations: readonly { readonly id: string }[] };
    all.push(...violations.map(({ id }) => `${colorScheme}: ${id}`));
  }
  return all;
}

/** The status of a request that a page's script makes. */
export function fetched(page: Page, path: string, method = "GET"): Promise<number> {
  return page.evaluate(
    ([path, method]) => fetch(path ?? "", { method: method ?? "" }).then(({ status }) => status),
    [path, method],
  );
}

/** What a browser has complained of beside refusals: it tells of each. */
export function withoutRefusals(complaints: readonly string[]): readonly string[] {
  return complaints.filter((text) => !/ status of (?:40[013]|503) /.test(text));
}

/** Has a page's script ask until that is the status, and before it this one alone. */
export async function fetchedUntil(page: Page, status: number, before: number): Promise<void> {
  for (let now = before; now !== status; now = await fetched(page, "/v1/b")) {
    if (now !== before) throw new Error(`${now}, and neither ${before} nor ${status}`);
  }
}

export interface ProfileOptions {
  readonly locale?: string;
}

export interface Profile {
  readonly page: Page;
  /** One more tab. */
  tab(): Promise<Page>;
  readonly complaints: readonly string[];
}
