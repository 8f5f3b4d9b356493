import { Registry } from "prom-client";
import { type Test, test } from "tap";
import { EventLoopMetrics } from "../../agent/telemetry/metrics/event-loop.ts";
import type { Telemetry } from "../../agent/telemetry/telemetry.ts";
import { REASONS } from "../../policies/decision.ts";
import { type Family, parseExposition } from "../support/exposition.ts";
import { decision, loaded, NOON, observation, principal, recorded } from "../support/telemetry.ts";

async function scrape(telemetry: Telemetry): Promise<Map<string, Family>> {
  return parseExposition(await telemetry.metrics());
}

function value(families: Map<string, Family>, name: string, labels: Record<string, string> = {}): number | undefined {
  const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ""));
  const wanted = JSON.stringify(Object.entries(labels).sort());
  return family?.samples.find(
    (sample) => sample.name === name && JSON.stringify(Object.entries(sample.labels).sort()) === wanted,
  )?.value;
}

test("decisions are counted by verdict and reason", async (t) => {
  const { telemetry } = recorded(t);
  const name = "countersign_decisions_total";
  t.equal(value(await scrape(telemetry), name, { verdict: "deny", reason: "role-missing" }), 0, "zero from the start");
  telemetry.decided(observation());
  telemetry.decided(observation());
  telemetry.decided(observation({ decision: decision({ verdict: "deny", reason: "role-missing" }), status: 403 }));
  telemetry.decided(
    observation({ decision: decision({ verdict: "login", reason: "credential-missing" }), status: 401 }),
  );
  const families = await scrape(telemetry);
  t.equal(value(families, name, { verdict: "allow", reason: "allowed" }), 2);
  t.equal(value(families, name, { verdict: "deny", reason: "role-missing" }), 1);
  t.equal(value(families, name, { verdict: "login", reason: "credential-missing" }), 1);
  t.equal(value(families, name, { verdict: "deny", reason: "credential-missing" }), 0);
  t.equal(value(families, name, { verdict: "deny", reason: "agent-unavailable" }), undefined, "HAProxy says that one");
  t.strictSame(await scrape(telemetry), families, "a scrape changes nothing");
});

test("durations are a cumulative histogram in seconds", async (t) => {
  const { telemetry } = recorded(t);
  for (const durationUs of [5, 10, 10.1, 900, 2_000_000, Number.NaN]) telemetry.decided(observation({ durationUs }));
  telemetry.decided(observation({ durationUs: 3000, cached: false }));
  const families = await scrape(telemetry);
  const name = "countersign_decision_duration_seconds";
  const bucket = (cached: string, le: string) => value(families, `${name}_bucket`, { cached, le });
  t.equal(bucket("true", "0.00001"), 3, "a bound belongs to its bucket; what is no number counts as 0");
  t.equal(bucket("true", "0.000025"), 4);
  t.equal(bucket("true", "0.001"), 5);
  t.equal(bucket("true", "1"), 5);
  t.equal(bucket("true", "+Inf"), 6);
  t.equal(value(families, `${name}_count`, { cached: "true" }), 6);
  t.ok(Math.abs((value(families, `${name}_sum`, { cached: "true" }) ?? 0) - 2.0009251) < 1e-9);
  t.equal(bucket("false", "0.0025"), 0);
  t.equal(bucket("false", "0.005"), 1);
  const bounds = families
    .get(name)
    ?.samples.filter(({ labels }) => labels.cached === "true" && labels.le !== undefined);
  t.strictSame(
    bounds?.map((sample) => sample.value),
    bounds?.map((sample) => sample.value).toSorted((a, b) => a - b),
  );
});

test("a shadow agrees, is stricter or is laxer", async (t) => {
  const { telemetry } = recorded(t);
  const judged = (verdict: "allow" | "deny", shadow: "allow" | "deny") => {
    const reason = shadow === "allow" ? "allowed" : "role-missing";
    telemetry.decided(observation({ decision: decision({ verdict, shadow: { verdict: shadow, reason } }) }));
  };
  telemetry.decided(observation());
  judged("allow", "allow");
  judged("deny", "deny");
  judged("allow", "deny");
  judged("deny", "allow");
  judged("deny", "allow");
  const families = await scrape(telemetry);
  t.equal(value(families, "countersign_shadow_decisions_total", { outcome: "agrees" }), 2);
  t.equal(value(families, "countersign_shadow_decisions_total", { outcome: "stricter" }), 1);
  t.equal(value(families, "countersign_shadow_decisions_total", { outcome: "laxer" }), 2);
});

test("connections, cache, stalls and gauges", async (t) => {
  const { telemetry } = recorded(t);
  telemetry.connected();
  telemetry.connected();
  telemetry.disconnected();
  telemetry.healthCheck();
  telemetry.dropped(20);
  telemetry.dropped(3);
  telemetry.cache("hit");
  telemetry.cache("refusal_hit");
  const families = await scrape(telemetry);
  for (const [name, labels, expected] of [
    ["countersign_connections_opened_total", {}, 2],
    ["countersign_connections_closed_total", {}, 1],
    ["countersign_health_checks_total", {}, 1],
    ["countersign_notifies_unanswered_total", {}, 23],
    ["countersign_identity_cache_lookups_total", { outcome: "hit" }, 1],
    ["countersign_identity_cache_lookups_total", { outcome: "miss" }, 0],
    ["countersign_identity_cache_lookups_total", { outcome: "refusal_hit" }, 1],
    ["countersign_connections", {}, 3],
    ["countersign_requests_in_flight", {}, 2],
    ["countersign_cached_identities", {}, 50],
    ["countersign_remembered_proofs", {}, 7],
    ["countersign_log_lines_dropped_total", {}, 0],
    ["countersign_build_info", { version: "1.2.3", node_version: process.version }, 1],
  ] as const) {
    t.equal(value(families, name, labels), expected, name);
  }
});

test("a load names its revision and issuers; a failed one keeps them", async (t) => {
  const now = { at: NOON };
  const { telemetry } = recorded(t, { now });
  telemetry.fetched("okta", "jwks", "ok", 30);
  telemetry.started(loaded({ issuers: ["okta", "aws"] }));
  telemetry.fetched("aws", "discovery", "error", 5000, "timed out");
  for (const issuer of ["okta", "aws"]) telemetry.unusable(issuer, [{ kid: "k", why: "it is weak" }]);
  now.at += 5000;
  telemetry.reloaded(loaded({ revision: "bbbb", loadedAt: now.at, issuers: ["okta"] }));
  telemetry.reloadFailed([]);
  const families = await scrape(telemetry);
  const all = (name: string) => families.get(name)?.samples.map(({ labels, value }) => ({ ...labels, value }));
  t.strictSame(all("countersign_policies_info"), [{ revision: "bbbb", value: 1 }], "one revision at a time");
  t.strictSame(all("countersign_reloads_total"), [
    { outcome: "ok", value: 2 },
    { outcome: "failed", value: 1 },
  ]);
  t.strictSame(all("countersign_last_reload_successful"), [{ value: 0 }]);
  t.strictSame(all("countersign_last_reload_success_timestamp_seconds"), [{ value: NOON / 1000 + 5 }]);
  t.strictSame(all("countersign_issuer_keys_last_success_timestamp_seconds"), [{ issuer: "okta", value: NOON / 1000 }]);
  t.strictSame(all("countersign_issuer_keys_unusable"), [{ issuer: "okta", value: 1 }]);
  t.strictSame(all("countersign_issuer_fetches_total"), [
    { issuer: "okta", what: "discovery", outcome: "ok", value: 0 },
    { issuer: "okta", what: "discovery", outcome: "error", value: 0 },
    { issuer: "okta", what: "jwks", outcome: "ok", value: 1 },
    { issuer: "okta", what: "jwks", outcome: "error", value: 0 },
  ]);
  t.equal(value(families, "countersign_issuer_fetch_duration_seconds_count", { issuer: "okta", what: "jwks" }), 1);
});

test("a stalled event loop shows in its delay", async (t) => {
  const registry = new Registry();
  const loop = new EventLoopMetrics(registry);
  loop.start();
  t.teardown(() => loop.stop());
  const name = "countersign_event_loop_delay_seconds";
  const families = async () => parseExposition(await registry.metrics());
  const sampled = async (count: number) => {
    while ((value(await families(), `${name}_count`) ?? 0) < count) await new Promise(setImmediate);
  };
  await sampled(1);
  const before = value(await families(), `${name}_sum`) ?? 0;
  const until = performance.now() + 300;
  while (performance.now() < until);
  await sampled(2);
  t.ok((value(await families(), `${name}_sum`) ?? 0) - before >= 0.15, "300 ms, less the 100 between two samples");
  t.ok((value(await families(), "countersign_event_loop_active_seconds_total") ?? 0) >= 0.3);
});

test("what a client sends never becomes a label", async (t) => {
  const { telemetry } = recorded(t);
  const series = async () =>
    [...(await scrape(telemetry)).values()].reduce((sum, { samples }) => sum + samples.length, 0);
  telemetry.started(loaded());
  for (const code of ["invalid-frame", "other"]) telemetry.protocolError(code);
  const before = await series();
  for (let client = 0; client < 500; client++) {
    const text = `client-${client}"\n`;
    telemetry.decided(
      observation({
        ...{ requestId: text, src: text, method: text, host: text, path: text },
        principal: principal({ subject: text }),
      }),
    );
    telemetry.protocolError(text);
  }
  t.equal(await series(), before);
  t.notMatch(await telemetry.metrics(), /client-/);
  const families = await scrape(telemetry);
  t.equal(value(families, "countersign_protocol_errors_total", { code: "invalid-frame" }), 1);
  t.equal(value(families, "countersign_protocol_errors_total", { code: "other" }), 501);
  t.equal(value(families, "countersign_protocol_errors_total", { code: "frame-too-large" }), 0);
});

test("names and units follow Prometheus' conventions", async (t) => {
  const { telemetry } = recorded(t);
  telemetry.started(loaded());
  telemetry.fetched("okta", "jwks", "ok", 1);
  for (const family of (await scrape(telemetry)).values()) lint(t, family);
  const reasons = Object.keys(REASONS).length;
  const decisions = (await scrape(telemetry)).get("countersign_decisions_total")?.samples.length ?? 0;
  t.ok(decisions <= reasons * 3);
});

function lint(t: Test, { name, type, help, samples }: Family): void {
  t.match(name, /^countersign_[a-z]+(_[a-z]+)*$/, name);
  t.match(help, /^[A-Z0-9].*\.$/, `${name} has a help text`);
  t.match(type, /^(counter|gauge|histogram)$/, name);
  t.equal(name.endsWith("_total"), type === "counter", `${name}: counters end in _total, others do not`);
  t.notMatch(name, /_(ms|millis|milliseconds|us|microseconds|minutes|kb|mb|percent)(_|$)/, `${name}: base units`);
  if (/duration|delay|timestamp/.test(name)) t.match(name, /_seconds$/, `${name}: seconds`);
  if (type === "histogram") t.match(name, /_(seconds|bytes)$/, `${name} has a unit`);
  if (name.endsWith("_info")) t.ok(samples.every((sample) => sample.value === 1));
  for (const { labels } of samples) for (const label of Object.keys(labels)) t.match(label, /^[a-z]+(_[a-z]+)*$/);
}
