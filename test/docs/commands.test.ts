import { readFileSync } from "node:fs";
import { test } from "tap";
import { EXIT } from "../../agent/commands/command.ts";
import { COMMANDS } from "../../agent/commands/run.ts";

const page = readFileSync(new URL("../../docs/commands.md", import.meta.url), "utf8");
const [head = "", ...rest] = page.split("\n## ");
const sections = new Map(rest.map((text) => [text.slice(0, text.indexOf("\n")), text]));

test("the page has a section for every command, and for no other", (t) => {
  t.strictSame([...sections.keys()], Object.keys(COMMANDS));
  t.end();
});

test("each section lists just the options that its command takes", (t) => {
  for (const [name, command] of Object.entries(COMMANDS)) {
    const listed = [...(sections.get(name) ?? "").matchAll(/^\| `--([a-z-]+)` \|/gm)].map(([, option]) => option);
    t.strictSame(new Set(listed), new Set(Object.keys(command.options)), name);
  }
  t.end();
});

test("the page lists every exit code", (t) => {
  const listed = [...head.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
  t.strictSame(listed, Object.values(EXIT));
  t.end();
});
