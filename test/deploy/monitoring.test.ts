import { execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "tap";
import { stringify } from "yaml";
import { ALERTS } from "../../deploy/monitoring/alerts.ts";
import { ROWS } from "../../deploy/monitoring/dashboard.ts";
import { monitoringFiles } from "../../deploy/monitoring/render.ts";
import { REASONS } from "../../policies/decision.ts";
import { SpopClient } from "../../protocol/client.ts";
import { messageOf } from "../support/agent.ts";
import { type Family, parseExposition } from "../support/exposition.ts";
import { freePort } from "../support/haproxy.ts";
import { configuration, folderOf, serve } from "../support/serve.ts";
import { loaded, withEveryMetric } from "../support/telemetry.ts";

const UNPACKED = resolve(import.meta.dirname, "../../.cache/promtool");
const QUERIES = ROWS.flatMap(({ panels }) =>
  panels.flatMap(({ queries }) => queries.map(([expression]) => expression)),
);
const EXPRESSIONS = [...ALERTS.map(({ expression }) => expression), ...QUERIES];

function program(name: "promtool" | "prometheus"): string {
  const unpacked = join(UNPACKED, name);
  return existsSync(unpacked) ? unpacked : name;
}

/** @throws Error with what promtool has written */
function promtool(...args: readonly string[]): string {
  return execFileSync(program("promtool"), args, { encoding: "utf8", stdio: "pipe" });
}

test("the files are what the tables say", (t) => {
  for (const [name, text] of Object.entries(monitoringFiles())) {
    t.equal(readFileSync(new URL(`../../deploy/monitoring/${name}`, import.meta.url), "utf8"), text, name);
  }
  t.end();
});

test("every metric, label, and reason that is asked for exists", async (t) => {
  const telemetry = withEveryMetric(t);
  telemetry.started(loaded());
  telemetry.fetched("okta", "jwks", "ok", 1);
  const families = parseExposition(await telemetry.metrics());
  // Prometheus adds these to every series.
  const labels = (family: Family) =>
    new Set(["instance", "job", ...family.samples.flatMap((each) => Object.keys(each.labels))]);
  const familyOf = (name: string) => families.get(name) ?? families.get(name.replace(/_(?:bucket|sum|count)$/, ""));
  for (const expression of EXPRESSIONS) {
    const named = [...expression.matchAll(/\b((?:countersign|process|nodejs)_\w+)(?:\{([^}]*)\})?/g)];
    t.ok(named.length > 0, expression);
    for (const [, name = "", matchers = ""] of named) {
      const family = familyOf(name);
      if (family === undefined) {
        t.fail(`${name} does not exist`);
        continue;
      }
      for (const [, label = "", value = ""] of matchers.matchAll(/(\w+)(?:=~|!=|=)"([^"]*)"/g)) {
        t.ok(labels(family).has(label), `${name}{${label}}`);
        const values = family.samples.map((each) => each.labels[label]);
        for (const one of value.split("|")) t.ok(values.includes(one), `${name}{${label}="${one}"}`);
      }
    }
    for (const [, by = ""] of expression.matchAll(/\bby \(([^)]+)\)/g)) {
      const known = named.flatMap(([, name = ""]) => [
        ...(families.has(name) ? labels(familyOf(name) as Family) : ["le"]),
      ]);
      for (const label of by.split(", ")) t.ok(known.includes(label), `by ${label}: ${expression}`);
    }
  }
  const reasons = EXPRESSIONS.flatMap((expression) => /reason=~"([^"]+)"/.exec(expression)?.[1]?.split("|") ?? []);
  for (const reason of reasons) t.ok(Object.hasOwn(REASONS, reason), reason);
});

test("promtool takes the rules, and every query of the dashboard", (t) => {
  const rules = QUERIES.map((expr, index) => ({ record: `panel:query${index}`, expr }));
  const folder = folderOf(t, {
    ...monitoringFiles(),
    "panels.yaml": stringify({ groups: [{ name: "panels", rules }] }),
  });
  t.match(promtool("check", "rules", join(folder, "alerts.yaml")), `SUCCESS: ${ALERTS.length} rules found`);
  t.match(promtool("check", "rules", join(folder, "panels.yaml")), `SUCCESS: ${rules.length} rules found`);
  t.end();
});

/** Series of an agent that is well, 90 minutes of them, and what brings each alert about. */
const WELL = {
  'countersign_build_info{version="1"}': "1x90",
  'countersign_decisions_total{verdict="allow",reason="allowed"}': "0+600x90",
  'countersign_decisions_total{verdict="deny",reason="role-missing"}': "0+60x90",
  'countersign_decisions_total{verdict="deny",reason="agent-error"}': "0x90",
  countersign_notifies_unanswered_total: "0x90",
  countersign_event_loop_active_seconds_total: "0+30x90",
  countersign_last_reload_successful: "1x90",
  // Prometheus' tests begin in 1970: 30 days later it ends.
  countersign_spop_certificate_end_timestamp_seconds: "2592000x90",
  'countersign_issuer_keys_unusable{issuer="okta"}': "0x90",
  'countersign_issuer_keys_last_success_timestamp_seconds{issuer="okta"}': "0+60x90",
  countersign_log_lines_dropped_total: "0x90",
  'countersign_shadow_decisions_total{outcome="agrees"}': "0+60x90",
  'countersign_shadow_decisions_total{outcome="laxer"}': "0x90",
} as const satisfies Readonly<Record<string, string>>;

const ILL: Readonly<Record<string, readonly [series: keyof typeof WELL, values: string]>> = {
  CountersignAbsent: ['countersign_build_info{version="1"}', "_x90"],
  CountersignRefusesForItself: ['countersign_decisions_total{verdict="deny",reason="agent-error"}', "0+1x90"],
  CountersignStarved: ["countersign_event_loop_active_seconds_total", "0+55x90"],
  CountersignReloadFailed: ["countersign_last_reload_successful", "0x90"],
  CountersignCertificateEnds: ["countersign_spop_certificate_end_timestamp_seconds", "172800x90"],
  CountersignKeysUnusable: ['countersign_issuer_keys_unusable{issuer="okta"}', "1x90"],
  CountersignKeysOld: ['countersign_issuer_keys_last_success_timestamp_seconds{issuer="okta"}', "0x90"],
  CountersignLogLinesLost: ["countersign_log_lines_dropped_total", "0+1x90"],
  CountersignShadowDiffers: ['countersign_shadow_decisions_total{outcome="laxer"}', "0+1x90"],
};

test("each alert fires when what it is about happens, and none while all is well", (t) => {
  t.strictSame(
    Object.keys(ILL),
    ALERTS.map(({ name }) => name),
  );
  const cases = [undefined, ...ALERTS].map((about) => {
    const [ill, values] = about === undefined ? [] : (ILL[about.name] ?? []);
    return {
      name: about?.name ?? "well",
      interval: "1m",
      input_series: Object.entries(WELL).map(([series, good]) => ({ series, values: series === ill ? values : good })),
      // Counted, so that labels that come with the series need no repetition here.
      promql_expr_test: ALERTS.map(({ name }) => ({
        expr: `count(ALERTS{alertname="${name}",alertstate="firing"})`,
        eval_time: "89m",
        exp_samples: name === about?.name ? [{ labels: "{}", value: 1 }] : [],
      })),
    };
  });
  const suite = stringify({ rule_files: ["alerts.yaml"], evaluation_interval: "1m", tests: cases });
  const folder = folderOf(t, { ...monitoringFiles(), "alerts.test.yaml": suite });
  t.match(promtool("test", "rules", join(folder, "alerts.test.yaml")), "SUCCESS");
  const wrong = folderOf(t, { ...monitoringFiles(), "alerts.test.yaml": suite.replace("value: 1", "value: 2") });
  t.throws(() => promtool("test", "rules", join(wrong, "alerts.test.yaml")), "it can fail");
  t.end();
});

test("a real Prometheus scrapes the agent, and finds a trace by the time that its decision took", async (t) => {
  const { text, spop, admin } = await configuration(`issuers: {}
haproxy: { version: "3.2", bind: ["*:8080"], scheme: http, backends: {} }
`);
  const policy = `services: { s: { hosts: [orders.example.com], backend: b, routes: [{ name: one, match: ["GET /v1/{path...}"], allow: [anyone] }] } }`;
  const port = await freePort();
  const scrape = { job_name: "agent", scrape_interval: "200ms", static_configs: [{ targets: [`127.0.0.1:${admin}`] }] };
  const folder = folderOf(t, {
    "countersign.yaml": text,
    "policies/a.yaml": `${policy}\n`,
    "prometheus.yaml": stringify({ scrape_configs: [scrape] }),
  });
  await serve(t, folder, { spop, admin });
  const client = await SpopClient.open({ host: "127.0.0.1", port: spop });
  t.teardown(() => client.socket.destroy());
  const id = "0af7651916cd43dd8448eb211c80319c";
  await client.notify(messageOf({ contract: "1:subject", authorization: null, trace: `00-${id}-b7ad6b7169203331-01` }));
  const address = `127.0.0.1:${port}`;
  const files = [`--config.file=${folder}/prometheus.yaml`, `--storage.tsdb.path=${folder}/tsdb`];
  const args = [...files, `--web.listen-address=${address}`, "--enable-feature=exemplar-storage"];
  const prometheus = spawn(program("prometheus"), args, { stdio: "ignore" });
  t.teardown(() => prometheus.kill("SIGKILL"));
  const asked = async (path: string) => {
    const answer = await fetch(`http://${address}/api/v1/${path}`).catch(() => undefined);
    return answer?.ok ? ((await answer.json()) as { data: unknown }).data : undefined;
  };
  const query = "query_exemplars?query=countersign_decision_duration_seconds_bucket&start=0&end=4102444800";
  let found: unknown;
  while (!Array.isArray(found) || found.length === 0) {
    if (prometheus.exitCode !== null) throw new Error(`prometheus ended with ${prometheus.exitCode}`);
    await new Promise((done) => setTimeout(done, 100));
    found = await asked(query);
  }
  t.match(found, [{ seriesLabels: { job: "agent" }, exemplars: [{ labels: { trace_id: id } }] }]);
  t.match(await asked("query?query=countersign_decisions_total%7Breason%3D%22anyone%22%7D"), {
    result: [{ metric: { reason: "anyone" }, value: [Number, "1"] }],
  });
});
