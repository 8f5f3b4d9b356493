import { generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { type AdminState, readiness, statusReport } from "../../agent/admin/status.ts";
import type { Telemetry } from "../../agent/telemetry/telemetry.ts";
import { ALERTS } from "../../deploy/monitoring/alerts.ts";
import { logFormat } from "../../haproxy/access-log.ts";
import { REASONS } from "../../policies/decision.ts";
import { ACCESS_FIELDS } from "../../records/access.ts";
import { DECISION_FIELDS } from "../../records/decision.ts";
import type { Field } from "../../records/field.ts";
import { type Family, parseExposition } from "../support/exposition.ts";
import { folderOf } from "../support/serve.ts";
import { decision, loaded, NOON, observation, recorded, withEveryMetric } from "../support/telemetry.ts";

const text = readFileSync(new URL("../../docs/observability.md", import.meta.url), "utf8");

/** The rows of the table with these first headings, as cells. */
function table(...headings: string[]): string[][] {
  const lines = text.split("\n");
  const start = lines.findIndex((line) => line.startsWith(`| ${headings.join(" | ")} |`));
  if (start < 0) throw new Error(`no table with ${headings}`);
  const length = lines.slice(start).findIndex((line) => !line.startsWith("|"));
  return lines.slice(start + 2, start + length).map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

function names(cell = ""): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);
}

test("every metric is in the docs with its type and labels, and no other", async (t) => {
  const { telemetry } = recorded(t);
  telemetry.started(loaded());
  telemetry.fetched("okta", "jwks", "ok", 1);
  const actual = [...parseExposition(await telemetry.metrics()).values()].map((family) => [
    family.name,
    family.type,
    labelsOf(family).sort(),
  ]);
  const documented = table("name", "type", "labels").map(([name, type, labels]) => [
    names(name)[0],
    type,
    names(labels).sort(),
  ]);
  t.strictSame(documented.sort(byName), actual.sort(byName));
});

test("every metric and reason that an expression names exists", async (t) => {
  const telemetry = withEveryMetric(t);
  const known = new Set(parseExposition(await telemetry.metrics()).keys());
  const named = text.match(/\b(?:countersign|process|nodejs)_[a-z0-9]+_[a-z0-9_]+\b/g) ?? [];
  t.ok(named.length > 30);
  for (const name of named) t.ok(known.has(name), name);
  const reasons = /reason=~"([^"]+)"/.exec(text)?.[1]?.split("\\|") ?? [];
  t.ok(reasons.length > 0);
  for (const reason of reasons) t.ok(Object.hasOwn(REASONS, reason), reason);
});

test("the alerts are those that are shipped", (t) => {
  const documented = table("alert", "expression", "because").map(([name, expression = "", because]) => [
    names(name)[0],
    names(expression)[0]?.replaceAll("\\|", "|"),
    because,
  ]);
  t.strictSame(
    documented,
    ALERTS.map(({ name, expression, because }) => [name, expression, because]),
  );
  t.end();
});

/** One checkpoint of an audit log. */
async function checkpointed(t: Test, telemetry: Telemetry): Promise<void> {
  const folder = folderOf(t, {});
  const key = join(folder, "key");
  const { privateKey } = generateKeyPairSync("ed25519");
  writeFileSync(key, privateKey.export({ type: "pkcs8", format: "pem" }));
  const sizes = { checkpoint: 100, maxSize: 1 << 20 };
  const config = {
    name: "a",
    file: join(folder, "log"),
    key,
    sync: "never",
    onFull: "gap",
    pseudonyms: undefined,
  } as const;
  telemetry.openAudit({ ...config, ...sizes }, 0, { revision: "r", configuration: "c", files: {} });
  while ((telemetry.auditState()?.signed ?? 0) === 0) await new Promise((done) => setTimeout(done, 20));
}

/** The bound of each field, where it has one. */
function bounds(fields: Readonly<Record<string, Field>>): (readonly [string, number | undefined])[] {
  return Object.entries(fields).map(([name, { max }]) => [name, max]);
}

test("every field of a decision line is in the table of records and in the docs, in its order, with its bound", async (t) => {
  const { telemetry, lines } = recorded(t, { decisions: "replayable" });
  const long = "x".repeat(5000);
  const shadow = { verdict: "deny", reason: "role-missing" } as const;
  const filled = { ...observation(), requestId: long, src: long, method: long, host: long, path: long, revision: long };
  const actor = [{ subject: long, issuer: long }];
  const principal = { ...filled.principal, issuer: long, subject: long, client: long, actor } as NonNullable<
    typeof filled.principal
  >;
  const mcp = { method: long, tool: long };
  telemetry.decided({ ...filled, principal, claim: long, mcp, decision: decision({ rule: long, shadow }) });
  const plain = recorded(t);
  plain.telemetry.decided(observation({ principal: undefined }));
  const [line = {}] = await lines();
  const [least = {}] = await plain.lines();
  const written = Object.entries(line).map(([name, value]) => {
    const cut = String(value).endsWith("…");
    return [name, cut ? String(value).length : undefined];
  });
  const documented = table("field", "at most").map(([field, bound]) => {
    return [names(field)[0], bound === "" ? undefined : Number(bound)];
  });
  t.strictSame(written, bounds(DECISION_FIELDS));
  t.strictSame(documented, bounds(DECISION_FIELDS));
  const fields: Readonly<Record<string, Field>> = DECISION_FIELDS;
  for (const [name, value] of Object.entries(line)) t.equal(typeof value === "number", fields[name]?.type === "number");
  t.strictSame(
    Object.keys(least),
    Object.keys(fields).filter((name) => fields[name]?.optional !== true),
  );
});

test("the example is a line as it is written", async (t) => {
  const { telemetry, lines } = recorded(t);
  telemetry.decided(observation());
  const example = /^\{"level".*\}$/m.exec(text)?.[0] ?? "";
  t.strictSame(Object.keys(JSON.parse(example)), Object.keys((await lines())[0] ?? {}));
});

test("the access log is rendered with the fields of the table of records, those that a contract names among them", (t) => {
  const rendered = (named: Parameters<typeof logFormat>[0]) =>
    [...logFormat(named).matchAll(/"(\w+)":/g)].map(([, name]) => name);
  const fields: Readonly<Record<string, Field>> = ACCESS_FIELDS;
  t.strictSame(rendered(["subject", "issuer", "kind", "client", "actor"]), Object.keys(fields));
  t.strictSame(
    rendered(["subject"]),
    Object.keys(fields).filter((name) => fields[name]?.optional !== true),
  );
  t.end();
});

test("what HAProxy's access log and the decision line have in common is named alike in both", (t) => {
  const sentence = /name alike what both know: ([^.]+)\./.exec(text)?.[1];
  const always = Object.entries<Field>(ACCESS_FIELDS).filter(([, { optional }]) => optional !== true);
  const common = always.map(([name]) => name).filter((name) => name in DECISION_FIELDS && name !== "time");
  t.strictSame(names(sentence).sort(), common.sort());
  t.end();
});

test("every other line is in the docs with its level, and no other", async (t) => {
  const { telemetry, lines } = recorded(t, { level: "debug" });
  const log = { level: "debug", decisions: "all", destination: "stderr" } as const;
  telemetry.started(loaded({ log }));
  telemetry.ready();
  telemetry.reloaded(loaded({ log, listen: ["127.0.0.1:9009"] }));
  telemetry.reloadFailed([]);
  telemetry.connected();
  telemetry.disconnected();
  telemetry.healthCheck();
  telemetry.unpipelined("set tune.bufsize 32768");
  telemetry.protocolError("other");
  telemetry.dropped(1);
  for (const outcome of ["ok", "error", "ok"] as const) telemetry.fetched("okta", "jwks", outcome, 1);
  for (const outcome of ["refused", "failed"] as const) telemetry.login({ issuer: "okta", outcome, why: "a" });
  for (const keys of [[{ kid: "k", why: "it is weak" }], []]) telemetry.unusable("okta", keys);
  telemetry.unexpected("somewhere", new Error("bug"));
  telemetry.workerEnded(2, "signal SIGKILL", 100);
  telemetry.workerReady(2);
  telemetry.passedOver("SIGUSR1");
  telemetry.untold(new Error("no such program"));
  telemetry.draining("SIGTERM");
  telemetry.auditStays();
  await checkpointed(t, telemetry);
  telemetry.stopped();
  telemetry.stopped(new Error("cannot listen"));
  const written = new Map((await lines()).map(({ msg, level }) => [String(msg), String(level)]));
  const documented = table("msg", "level").map(([msg, level]): [string, string] => [names(msg)[0] ?? "", level ?? ""]);
  // It takes a reader that is too slow; test/telemetry/log.test.ts has one.
  written.set("log lines were lost: whoever reads the log was too slow, or a line too long", "warn");
  // A disk that is full is tried in test/records.
  written.set("the audit log cannot be written: decisions are not kept", "error");
  // So is a collector that is away, in test/telemetry/traces.test.ts.
  written.set("spans cannot be exported", "warn");
  written.set("spans are exported again", "info");
  written.set("the audit log can be written again: it says how many are missing", "warn");
  t.strictSame(documented.sort(byName), [...written].sort(byName));
});

test("every member of /status and /ready is in the docs", (t) => {
  const { telemetry } = recorded(t);
  const time = { succeededAt: undefined, failedAt: undefined, error: undefined };
  const counts = { connections: 0, opened: 0, inFlight: 0, requests: 0 };
  const none = { lastEnd: undefined, problem: undefined };
  telemetry.reloadFailed([]);
  const state: AdminState = {
    audit: [],
    version: "1.2.3",
    startedAt: NOON,
    now: NOON,
    phase: "serving",
    load: telemetry.load(),
    issuers: [
      {
        name: "okta",
        issuer: "https://okta.test",
        identities: 0,
        ...time,
        details: { keys: 0, unused_keys: [], session_store: [] },
      },
    ],
    caches: { identities: { entries: 0, limit: 1 } },
    ...counts,
    pipeliningAdvice: undefined,
    log: telemetry.logState(),
    workers: [{ worker: 1, pid: 7, state: "ready", ...counts, restarts: 0, ...none }],
  };
  const report = statusReport(state);
  const rows = table("member", "meaning");
  t.strictSame(
    rows.map(([member]) => names(member)[0]),
    Object.keys(report),
  );
  const inner = (member: string) => names(rows.find(([name]) => name === `\`${member}\``)?.[1]);
  t.strictSame(inner("issuers"), Object.keys(report.issuers[0] ?? {}));
  t.strictSame(inner("caches"), Object.keys(report.caches.identities ?? {}));
  t.strictSame(inner("log"), Object.keys(report.log));
  const states = ["starting", "ready", "silent", "down"];
  t.strictSame(
    inner("workers").filter((name) => !states.includes(name)),
    Object.keys(report.workers[0] ?? {}),
  );
  t.strictSame(inner("last_failed_reload"), Object.keys(report.last_failed_reload ?? {}));
  const ready = table("page", "status", "body").find(([page]) => page === "`/ready`");
  t.strictSame(
    names(ready?.[2]).filter((name) => !["starting", "serving", "draining"].includes(name)),
    Object.keys(readiness(state)),
  );
  t.end();
});

function labelsOf({ samples }: Family): string[] {
  return [...new Set(samples.flatMap(({ labels }) => Object.keys(labels)))].filter((label) => label !== "le");
}

function byName([a]: readonly unknown[], [b]: readonly unknown[]): number {
  return String(a) < String(b) ? -1 : 1;
}
