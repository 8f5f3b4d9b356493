import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { DRIVEN, UNDRIVEN } from "./bounds.ts";

const ROOT = join(import.meta.dirname, "../..");
const page = readFileSync(join(ROOT, "docs/bounds.md"), "utf8");
const rows = [...page.matchAll(/^\| .*?`([A-Z_]+)` of ([\w/.-]+\.ts) \| ([^|]*) \|/gm)];

/** Bounds on what one message or answer holds, and parts of others' that stand there. */
const OTHERS = [
  "MOST_AT_ONCE of agent/telemetry/audit/append.ts",
  "MOST_WAITING of agent/telemetry/traces/spans.ts",
  "MOST_BATCHES of agent/threads/batch-thread.ts",
  "MOST_EXTENSIONS of agent/identity/certificate/x509.ts",
  "MOST_FAULTS of agent/telemetry/telemetry.ts",
  "MOST_KEYS of agent/telemetry/telemetry.ts",
  "MOST_LENGTH_OCTETS of agent/identity/certificate/der.ts",
  "MOST_LINES of agent/telemetry/taps.ts",
  "MOST_LOST of agent/web/login/logins.ts",
  "MOST_NAMED of agent/identity/oidc/jwks.ts",
  "MOST_OWN of agent/web/web-worker.ts",
  "MOST_PAGES of agent/identity/okta/api.ts",
  "MOST_TEXT of agent/telemetry/taps.ts",
  "MOST_TRIED of agent/identity/certificate/certificate.ts",
];

/** A constant of a file, where it is a number: `1 << 20`, `4 * 1024 * 1024`, `10_000`. */
function numberOf(name: string, source: string): number | undefined {
  const [, written = ""] = new RegExp(`^(?:export )?const ${name}(?:: \\w+)? = ([^;]+);`, "m").exec(source) ?? [];
  const [left = "", shift] = written.replaceAll("_", "").split("<<");
  const product = left.split("*").reduce((all, factor) => all * Number(factor), 1);
  return Number.isNaN(product) ? undefined : product * 2 ** Number(shift ?? 0);
}

test("the constants that the page names are in those files, and are what it says", (t) => {
  t.ok(rows.length > 30, `${rows.length} rows`);
  for (const [, name = "", file = "", limit = ""] of rows) {
    const source = readFileSync(join(ROOT, file), "utf8");
    t.match(source, new RegExp(`const ${name}\\b`), `${name} of ${file}`);
    const value = numberOf(name, source);
    if (value !== undefined)
      t.ok(limit.startsWith(value.toLocaleString("en")), `${name} of ${file}: ${value}, ${limit}`);
  }
  t.end();
});

test("a test drives each row, or the list says why none does", (t) => {
  const whats = [...page.matchAll(/^\| ([^|]*?)(?:: [^|]*)? \| (?!limit)[^|]+ \| [^|]* \| [^|]+ \|$/gm)].map(
    ([, what = ""]) => what,
  );
  t.strictSame(Object.keys({ ...DRIVEN, ...UNDRIVEN }).toSorted(), whats.toSorted());
  for (const [what, [file, title]] of Object.entries(DRIVEN)) {
    const source = readFileSync(join(ROOT, "test", `${file}.test.ts`), "utf8");
    t.ok(
      source.split("\n").some((line) => /^\s*(?:(?:await )?(?:t\.)?test\()?["`]/.test(line) && line.includes(title)),
      `${what}: ${title}`,
    );
  }
  t.end();
});

test("each row says what shows it", (t) => {
  for (const [row, , , seen = ""] of page.matchAll(/^\| ([^|]*) \| ([^|]*) \| ([^|]*) \| [^|]+ \|$/gm)) {
    t.not(seen.trim(), "", row);
  }
  t.end();
});

test("whatever holds a number of things while the agent runs is on the page", (t) => {
  // Of the rooms of the running agent; those of the configuration are faults when they are read.
  const files = globSync(
    "agent/{answer,assertion,http,identity,loading,processes,server,telemetry,threads,upstream,web}/**/*.ts",
    { cwd: ROOT },
  );
  const missing = files.flatMap((file) => {
    const source = readFileSync(join(ROOT, file), "utf8");
    return [...source.matchAll(/^(?:export )?const (SLOTS|LARGEST_BACKLOG|MOST_\w+) = /gm)]
      .map(([, name = ""]) => `${name} of ${file}`)
      .filter((each) => !page.includes(`\`${each.replace(" of ", "` of ")}`) && !OTHERS.includes(each));
  });
  t.strictSame(missing, []);
  t.end();
});
