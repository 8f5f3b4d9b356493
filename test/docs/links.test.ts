import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "tap";

const ROOT = join(import.meta.dirname, "../..");
const pages = globSync(["*.md", "docs/**/*.md"], { cwd: ROOT });

/** As GitHub names a heading. */
function anchorOf(heading: string): string {
  const plain = heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_\- ]/gu, "");
  return plain.trim().replaceAll(" ", "-");
}

function anchorsOf(page: string): readonly string[] {
  const headings = readFileSync(page, "utf8").matchAll(/^#+ (.*)$/gm);
  return [...headings].map(([, heading = ""]) => anchorOf(heading));
}

test("every link of the documentation leads somewhere", (t) => {
  t.ok(pages.length > 25, `${pages.length} pages`);
  for (const page of pages) {
    const text = readFileSync(join(ROOT, page), "utf8");
    for (const [, path = "", anchor] of text.matchAll(/\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)/g)) {
      const target = path === "" ? join(ROOT, page) : join(ROOT, dirname(page), path);
      const link = `${page}: ${relative(ROOT, target)}${anchor === undefined ? "" : `#${anchor}`}`;
      t.ok(existsSync(target) && (anchor === undefined || anchorsOf(target).includes(anchor)), link);
    }
  }
  t.end();
});
