import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { chromium, type Page } from "playwright-core";
import type { Test } from "tap";

const UNPACKED = resolve(import.meta.dirname, "../../.cache/chromium/bin/chromium");

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

export interface ProfileOptions {
  readonly colorScheme?: "light" | "dark";
  readonly locale?: string;
}

export interface Profile {
  readonly page: Page;
  /** One more tab. */
  tab(): Promise<Page>;
  readonly complaints: readonly string[];
}
