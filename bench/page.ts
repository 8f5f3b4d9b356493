import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { resolve } from "node:path";

const DOCS = resolve(import.meta.dirname, "../docs");

/**
 * Puts text between the two comments `<!-- MARK: begin -->` and `<!-- MARK: end -->` of a page of docs/.
 *
 * @throws Error where the page has no place for it
 */
export function writeBetween(page: string, mark: string, text: string): void {
  const file = resolve(DOCS, page);
  writeFileSync(file, replaced(readFileSync(file, "utf8"), mark, text));
}

/** The page with the text between the two comments of this mark replaced. */
export function replaced(page: string, mark: string, text: string): string {
  const [begin, end] = [`<!-- ${mark}: begin -->\n`, `<!-- ${mark}: end -->`];
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`the page lacks ${begin.trim()} and ${end}`);
  return page.slice(0, from + begin.length) + text + page.slice(to);
}

/** When and where something was measured: `on 2026-11-25: 2 cores of …, Linux …, Node …`. */
export function machine(): string {
  const model = cpus()[0]?.model ?? "unknown processor";
  const day = new Date().toISOString().slice(0, 10);
  return `on ${day}: ${cpus().length} cores of ${model}, Linux ${release()}, Node ${process.version}`;
}

/** The commit that is checked out, and whether files differ from it; `unknown` without git. */
export function commit(): string {
  const git = (...args: readonly string[]) => execFileSync("git", args, { cwd: DOCS, encoding: "utf8" }).trim();
  try {
    const differs = git("status", "--porcelain", "--untracked-files=no") !== "";
    return `${git("rev-parse", "--short", "HEAD")}${differs ? " with changes" : ""}`;
  } catch {
    return "unknown";
  }
}
