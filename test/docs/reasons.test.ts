import { readFileSync } from "node:fs";
import { test } from "tap";
import { HAPROXY_REASONS } from "../../agent/telemetry/metrics/decisions.ts";
import { OWN_REASONS } from "../../haproxy/reasons.ts";
import { REASONS } from "../../policies/decision.ts";

const text = readFileSync(new URL("../../docs/reasons.md", import.meta.url), "utf8");
const rows = [...text.matchAll(/^\| `([^`]+)` \| (\d+) \| (.+) \| (.*)\|$/gm)].map(
  ([, reason = "", status = "", happened = "", remedy = ""]) => ({ reason, status: Number(status), happened, remedy }),
);

test("docs/reasons.md has every reason with its status, and no other", (t) => {
  t.strictSame(
    rows.map(({ reason, status }) => [reason, status]),
    Object.entries(REASONS),
    "in the order of the code",
  );
  t.equal(rows.length, text.split("\n").filter((line) => line.startsWith("| `")).length, "every row was read");
  t.end();
});

test("every refusal has a remedy, and stands under its status", (t) => {
  for (const { reason, status, happened, remedy } of rows) {
    t.ok(happened.length > 20, `${reason} says what happened`);
    if (status !== 200) t.ok(remedy.length > 10, `${reason} says what to do`);
  }
  for (const section of text.split("\n## ").slice(1)) {
    const expected = /^(\d+)/.exec(section)?.[1] ?? "200";
    for (const [, status] of section.matchAll(/^\| `[^`]+` \| (\d+) \|/gm)) t.equal(status, expected);
  }
  t.end();
});

test("HAProxy's own reasons are told apart", (t) => {
  const only = rows.filter(({ happened }) => happened.startsWith("HAProxy itself:")).map(({ reason }) => reason);
  t.strictSame(only.sort(), [...HAPROXY_REASONS].sort(), "those that the agent never decides");
  const too = rows.filter(({ happened }) => happened.includes("HAProxy itself")).map(({ reason }) => reason);
  t.strictSame(too.sort(), Object.keys(OWN_REASONS).sort(), "all that the generated haproxy.cfg answers with");
  t.end();
});
