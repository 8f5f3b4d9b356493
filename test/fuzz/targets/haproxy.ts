import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { CheckReport } from "../../../haproxy/check/check.ts";
import { CORPUS, prove } from "../../prover/proving.ts";
import { mutatedText } from "../mutate.ts";
import type { Random } from "../random.ts";
import { hold, type Target } from "../target.ts";

const NAMES = readdirSync(CORPUS).filter((name) => name.endsWith(".cfg"));
const TEXTS = NAMES.map((name) => readFileSync(join(CORPUS, name), "utf8"));
const GENERATED = readFileSync(new URL("../../../haproxy/haproxy.cfg", import.meta.url), "utf8");
const SPOE = readFileSync(new URL("../../../haproxy/countersign.spoe.conf", import.meta.url), "utf8");
const WORDS = [
  ...[
    "http-request allow",
    "http-request deny",
    "http-request set-header",
    "use_backend",
    "default_backend",
    " if ",
    " unless ",
    " or ",
    "!",
    "{ path_beg /x }",
    "{ always_true }",
    "{ var(txn.countersign.verdict) -m str allow }",
  ],
  ...[
    "acl a ",
    "frontend f\n",
    "backend b\n",
    "listen l\n",
    "defaults\n",
    "defaults d\n",
    "frontend f from d\n",
    "  bind :1\n",
    "  server s 127.0.0.1:1\n",
    "  filter spoe engine countersign config countersign.spoe.conf\n",
    "http-request send-spoe-group countersign authorize",
  ],
  ...[
    ".if defined(X)\n",
    ".else\n",
    ".endif\n",
    ".elif version_atleast(3.0)\n",
    '"$' + '{A}"',
    '"$' + '{A[*]}"',
    "'",
    '"',
    "\\",
    "\\ ",
    "#",
    "%[",
    "]",
    "\t",
    " -m reg ",
    "lua.x",
    "http-request lua.x",
    "tcp-request content accept",
    "mode tcp\n",
  ],
];

/** Everything that is told, but for the lines: they move. */
function told({ findings }: CheckReport): readonly string[] {
  return findings.map(({ level, code }) => `${level} ${code}`).sort();
}

function proved(text: string): CheckReport {
  return prove({ "x.cfg": text, "countersign.spoe.conf": SPOE }, { version: "3.2" });
}

/** The same to HAProxy: comments, blank lines, other blanks between words where nothing is quoted. */
const SAME: readonly ((text: string) => string)[] = [
  (text) => `# a comment\n\n${text}`,
  (text) =>
    text
      .split("\n")
      .map((line) => (/["'\\#]/.test(line) ? line : line.replace(/(?<=\S) (?=\S)/g, "  ")))
      .join("\n"),
];

function configuration(random: Random): string {
  if (random.once(30)) return GENERATED;
  const original = random.once(4) ? GENERATED : random.pick(TEXTS);
  return mutatedText(original, random, { others: TEXTS, words: WORDS, most: random.once(2) ? 1 : 4 });
}

export const HAPROXY: Target = {
  name: "haproxy",
  oracle:
    "haproxy.cfg, read and proven: each finding is at a line and column that the file has; the same file with comments and other blanks has the same findings; a file without any findings still asks the agent; nothing but findings comes of it",
  tested: 60,
  share: 6,
  reaches: ["findings", "fine"],
  open: () => ({
    input: (random) => Buffer.from(configuration(random)),
    check(input) {
      const text = input.toString();
      const report = proved(text);
      const lines = text.split("\n");
      for (const { file, line, column, found, right } of report.findings) {
        if (basename(file) !== "x.cfg") continue;
        const written = lines[line - 1];
        hold(line >= 1 && written !== undefined, () => `a finding in line ${line} of ${lines.length}: ${found}`);
        hold(
          column >= 1 && column <= (written?.length ?? 0) + 1,
          () => `a finding in column ${column} of ${JSON.stringify(written)}: ${found}`,
        );
        hold(found !== "" && right !== "", "a finding without words");
      }
      for (const same of SAME)
        hold(
          isDeepStrictEqual(told(proved(same(text))), told(report)),
          () =>
            `written otherwise (${SAME.indexOf(same)}) it has other findings: ${told(proved(same(text)))}; ${told(report)}`,
        );
      if (report.findings.some(({ level }) => level !== "warning")) return "findings";
      hold(/send-spoe-group|filter\s+spoe/.test(text), "fine, and nobody asks");
      return "fine";
    },
  }),
};
