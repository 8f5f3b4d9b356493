import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { prove } from "./proving.ts";

/**
 * Reads the configurations of a directory that others wrote, such as examples/, tests/conf/ and reg-tests/ of
 * github.com/haproxy/haproxy, and prints how many were understood: node test/prover/foreign.ts DIRECTORY
 *
 * A file whose lines would not be loaded is listed: HAProxy's own `-c` says whether it is right about that.
 */
const [root = "."] = process.argv.slice(2);

/** The configurations of a test case of HAProxy's, with its macros filled in. */
function blocks(text: string): readonly string[] {
  return [...text.matchAll(/-conf(?:-OK|-BAD)?\s*(?:"[^"]*"\s*)?\{/g)].map(({ index, 0: opening }) => {
    const start = index + opening.length;
    let [depth, end] = [1, start];
    for (; depth > 0 && end < text.length; end++) depth += text[end] === "{" ? 1 : text[end] === "}" ? -1 : 0;
    const named = (macro: string) => (/sock|addr|fe|be/.test(macro) ? "127.0.0.1" : "1000");
    return `${text.slice(start, end - 1).replace(/\$\{[^}"]*\}/g, named)}\n`;
  });
}

const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => existsSync(join(root, name)));
const configs = files.sort().flatMap((name) => {
  if (name.endsWith(".cfg")) return [[name, readFileSync(join(root, name), "utf8")] as const];
  if (!name.endsWith(".vtc")) return [];
  return blocks(readFileSync(join(root, name), "utf8")).map((text, n) => [`${name}, ${n + 1}`, text] as const);
});
let [whole, partly, refused] = [0, 0, 0];
for (const [name, text] of configs) {
  const { findings, unread } = prove({ "x.cfg": text });
  const syntax = findings.filter(({ code }) => code === "syntax");
  for (const { line, column, found } of syntax) console.log(`${name}:${line}:${column}: ${found}`);
  if (syntax.length > 0) refused++;
  else if (unread > 0) partly++;
  else whole++;
}
console.log(
  `${configs.length} configurations: ${whole} understood, ${partly} not in every line, ${refused} not loaded`,
);
