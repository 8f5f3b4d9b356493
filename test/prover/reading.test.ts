import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "tap";
import { holds } from "../../haproxy/check/predicates.ts";
import { isDropped, read } from "../../haproxy/check/reader.ts";
import { tokenize } from "../../haproxy/check/tokenizer.ts";
import { texts } from "../../haproxy/check/where.ts";
import { everyWorld, World } from "../../haproxy/check/world.ts";
import { type HaproxyBinary, haproxies, minorOf } from "../support/haproxy.ts";

const ENVIRONMENT = { A: "x y", B: "b", E: "", H: "a#b 'c", D: '"q" z' };

/** Pieces that a line is made of, and that a reader may take for something else. */
const PIECES = [
  ..."ab-.,:{}()[]!%=/~",
  ...['"', "'", "\\", "#", " ", "  ", "\t", "\r", "$", "$A", "\v"],
  ...['"$A"', '"$N"', '"$E"', "'$A'", '"a b"', '""', "''"],
  ...["A[*]", "N[*]", "E[*]", "D[*]", "N-d e", "A-d", "H", "N[*]-f g"].map((text) => `"\${${text}}"`),
  ...["\\ ", "\\#", '\\"', "\\'", "\\\\", "\\n", "\\x41", "\\x4", "\\q", "\\$"],
  ...["or", "if", "{", "}"],
];

/** The same numbers each time: xorshift, 32 bits. */
function* numbers(seed: number): Generator<number> {
  for (let state = seed; ; ) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield (state >>> 0) / 2 ** 32;
  }
}

function lines(count: number, seed: number): readonly string[] {
  const random = numbers(seed);
  const next = () => random.next().value ?? 0;
  return Array.from({ length: count }, () => {
    const pieces = Array.from(
      { length: 1 + Math.floor(next() * 8) },
      () => PIECES[Math.floor(next() * PIECES.length)] ?? "",
    );
    return pieces.join("");
  });
}

/** What `haproxy -dC` makes of lines: it prints each after tokenizing, words joined by blanks; and those it refuses. */
function dumped(t: { testdir(files: Record<string, string>): string }, binary: HaproxyBinary, said: readonly string[]) {
  const folder = t.testdir({
    "x.cfg": `${said.map((line, index) => `k${index}. ${line}\n`).join("")}k${said.length}. end\n`,
  });
  const args = [...binary.prefix, "-dC", "-c", "-f", join(folder, "x.cfg")];
  const env = { ...ENVIRONMENT, PATH: process.env.PATH };
  const { stdout, stderr } = spawnSync(binary.command, args, { encoding: "latin1", env, maxBuffer: 1 << 26 });
  const printed = new Map(
    stdout
      .split(/^\t?k(?=\d+\.)/m)
      .slice(1)
      .map((text) => [Number.parseInt(text, 10), text.slice(text.indexOf(".") + 1).trim()]),
  );
  const alerts = stderr.split("\n").filter((line) => line.startsWith("[ALERT]"));
  const refused = alerts.map((line) => Number(/parsing \[[^\]]*:(\d+)\]/.exec(line)?.[1]) - 1);
  return { printed, refused: new Set(refused) };
}

test("lines are split into words as HAProxy does", (t) => {
  for (const binary of haproxies()) {
    // 2.6 cannot print what it reads.
    if (Number(minorOf(binary)) < 2.8) continue;
    const world = new World({ version: binary.version, defines: new Map(Object.entries(ENVIRONMENT)) }, [false, true]);
    const all = lines(4000, 42).map((line) => ({ line, read: tokenize(`k ${line}`, world, true) }));
    const good = all.flatMap(({ line, read: one }) => ("words" in one ? [{ line, words: one.words }] : []));
    t.ok(good.length > 1500, `${good.length} lines can be read`);
    const { printed } = dumped(
      t,
      binary,
      good.map(({ line }) => line),
    );
    for (const [index, { line, words }] of good.entries()) {
      const ours = words
        .slice(1)
        .map(({ text }) => text)
        .join(" ")
        .trim();
      if (ours !== printed.get(index)) t.equal(ours, printed.get(index), JSON.stringify(line));
    }
    const bad = all.filter(({ read: one }) => "fault" in one).slice(0, 40);
    const { refused } = dumped(
      t,
      binary,
      bad.map(({ line }) => line),
    );
    t.strictSame(
      bad.filter((_, index) => !refused.has(index)).map(({ line }) => line),
      [],
      "what we refuse is refused",
    );
  }
  t.end();
});

/** Conditions of `.if`, as far as all versions have them. */
const CONDITIONS = [
  "",
  "0",
  "1",
  "-3",
  "!1",
  "! 0",
  "( )",
  "(1 && 0) || 1",
  "1 || 0 && 0",
  "0 && 0 || 1",
  "!(1 || 0)",
  "defined(A)",
  "defined(E)",
  "defined(NOBODY)",
  'streq("$A","x y")',
  'streq("$E",)',
  "strneq(a,b)",
  "streq(a, b)",
  "version_atleast(2.6)",
  "version_atleast(2.6-dev1)",
  "version_atleast(3.0)",
  "version_before(3.0)",
  "version_before(3.2)",
  "version_atleast(3.0.11)",
  "version_before(9.9)",
  "!defined(A) || version_atleast(2.0)",
];

test("conditions of .if are decided as HAProxy does", (t) => {
  const environment = Object.entries(ENVIRONMENT);
  for (const binary of haproxies()) {
    for (const condition of CONDITIONS) {
      const text = `.if ${condition}\nglobal\n.else\nnonsense\n.endif\n`;
      const folder = t.testdir({ "x.cfg": text });
      const args = [...binary.prefix, "-c", "-f", join(folder, "x.cfg")];
      const { stderr } = spawnSync(binary.command, args, {
        encoding: "utf8",
        env: { ...ENVIRONMENT, PATH: process.env.PATH },
      });
      const world = new World({ version: binary.version, defines: new Map(environment) }, [false]);
      const { lines: kept, faults } = read([{ name: "x.cfg", text }], world);
      t.equal(faults.length > 0, /unparsable/.test(stderr), `${binary.version}: .if ${condition} is refused`);
      if (faults.length > 0) continue;
      const first = kept.find((line) => !isDropped(line));
      const ours = first !== undefined && !isDropped(first) ? texts(first)[0] : "";
      t.equal(ours, /nonsense/.test(stderr) ? "nonsense" : "global", `${binary.version}: .if ${condition}`);
    }
  }
  t.end();
});

test("what the deployment decides is tried both ways, and a version is one after all conditions", (t) => {
  const text = `.if defined(X) && version_atleast(3.1)
a
.elif feature(QUIC)
b
.else
c
.endif
.if version_before(3.0)
d
.endif
`;
  const ways = new Set<string>();
  everyWorld({ version: undefined, defines: new Map() }, (world) => {
    const { lines: kept } = read([{ name: "x.cfg", text }], world);
    ways.add(kept.flatMap((line) => (isDropped(line) ? [] : texts(line))).join(" "));
  });
  t.strictSame([...ways].sort(), ["a", "b", "b d", "c", "c d"]);
  t.equal(holds("version_atleast(3.2.5)", new World({ version: "3.2", defines: new Map() }, [])), true, "undecided");
  t.equal(holds("version_atleast(3.2.5)", new World({ version: "3.2.4", defines: new Map() }, [])), false);
  t.throws(() =>
    everyWorld({ version: undefined, defines: new Map() }, (world) => {
      for (let n = 0; n < 20; n++) world.decide(`${n}`, "", "");
    }),
  );
  t.end();
});
