import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Test, test } from "tap";
import type { TracesConfig } from "../../agent/config/sections/traces.ts";
import { parseExposition } from "../support/exposition.ts";
import { collector } from "../support/otlp.ts";
import { decision, NOON, observation, principal, recorded } from "../support/telemetry.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";
const SAMPLED = `00-${TRACE}-${PARENT}-01`;

function tracing(t: Test, endpoint: string, more: Partial<TracesConfig> = {}) {
  const { telemetry, lines } = recorded(t);
  const config = { endpoint, headers: {}, timeout: 5_000, ca: undefined, proxy: undefined, ...more };
  telemetry.traceTo(config);
  const counts = async () => {
    const families = parseExposition(await telemetry.metrics());
    const of = (name: string) => families.get(`countersign_spans_${name}_total`)?.samples[0]?.value;
    return { exported: of("exported"), dropped: of("dropped") };
  };
  return { telemetry, lines, config, counts };
}

test("a decision is a span of its request's trace, named by the conventions, with nothing secret", async (t) => {
  const { endpoint, spans, requests, until } = await collector(t);
  const { telemetry } = tracing(t, endpoint, { headers: { authorization: "Bearer x" } });
  telemetry.decided(
    observation({ trace: SAMPLED, path: "/v1/orders/42?access_token=secret", host: "orders.example.com:8443" }),
  );
  const denied = decision({ verdict: "deny", reason: "issuer-unavailable" });
  telemetry.decided(
    observation({ trace: SAMPLED, method: "BREW", principal: undefined, decision: denied, status: 503, cached: false }),
  );
  await until(() => spans.length === 2);
  const [allowed, refused] = spans;
  t.match(allowed, {
    traceId: TRACE,
    parentSpanId: PARENT,
    name: "authorize",
    kind: 2,
    startTimeUnixNano: `${NOON * 1_000 - 13}000`,
    endTimeUnixNano: `${NOON * 1_000}000`,
    status: {},
  });
  t.strictSame(allowed?.attributes, {
    "http.request.method": "GET",
    "url.path": "/v1/orders/42",
    "url.scheme": "https",
    "server.address": "orders.example.com",
    "client.address": "192.0.2.7",
    "countersign.verdict": "allow",
    "countersign.reason": "allowed",
    "countersign.rule": "orders/read",
    "countersign.revision": "3f9a1c2d4e5f",
    "countersign.request_id": "0123456789abcdef0123456789abcdef",
    "countersign.cached": true,
    "countersign.issuer": "okta",
  });
  t.match(refused?.attributes, {
    "http.request.method": "_OTHER",
    "http.request.method_original": "BREW",
    "http.response.status_code": 503,
    "error.type": "issuer-unavailable",
    "countersign.cached": false,
  });
  t.strictSame(refused?.status, { code: 2 });
  t.not(allowed?.spanId, refused?.spanId);
  t.match(allowed?.resource, { "service.name": "countersign", "service.version": "1.2.3" });
  t.match(requests[0], {
    url: "/v1/traces",
    headers: { "content-type": "application/json", authorization: "Bearer x" },
  });
  t.notMatch(JSON.stringify(spans), /secret|oncall|group-value|claim-value|header-value/);
});

test("only a trace that is recorded is told of, and only where it is well-formed", async (t) => {
  const { endpoint, spans } = await collector(t);
  const { telemetry } = tracing(t, endpoint);
  for (const trace of [
    "",
    `00-${TRACE}-${PARENT}-00`,
    `00-${TRACE}-${PARENT}-02`,
    `00-${TRACE.toUpperCase()}-${PARENT}-01`,
    `01-${TRACE}-${PARENT}-01`,
    `00-${TRACE}-${PARENT}-01-x`,
  ])
    telemetry.decided(observation({ trace }));
  telemetry.decided(observation({ trace: `00-${TRACE}-${PARENT}-03`, path: `/${'"\u0007\\'.repeat(2_000)}` }));
  await telemetry.close();
  t.equal(spans.length, 1);
  t.equal(String(spans[0]?.attributes["url.path"]).length, 1_024);
});

test("a collector that is away, full or wrong costs spans, and they are counted", async (t) => {
  const { endpoint, spans, answers, until, requests } = await collector(t);
  const { telemetry, lines, counts } = tracing(t, endpoint);
  answers.push({ status: 503, body: "" }, { status: 200, body: '{"partialSuccess":{"rejectedSpans":"2"}}' });
  for (let n = 0; n < 5; n++) telemetry.decided(observation({ trace: SAMPLED }));
  await until(() => spans.length === 5);
  t.strictSame(
    requests.map(({ spans }) => spans),
    [5, 5],
    "again, and the same",
  );
  answers.push({ status: 400, body: "" });
  telemetry.decided(observation({ trace: SAMPLED }));
  await until(() => requests.length === 3);
  telemetry.decided(observation({ trace: SAMPLED }));
  await until(() => spans.length === 6);
  while ((await counts()).exported !== 4) await new Promise((done) => setTimeout(done, 10));
  t.strictSame(await counts(), { exported: 4, dropped: 3 });
  const told = (await lines()).filter(({ msg }) => String(msg).startsWith("spans"));
  t.match(told, [
    { level: "warn", msg: "spans cannot be exported", error: "status 503" },
    { level: "info", msg: "spans are exported again" },
  ]);
});

test("what waits is bounded, and a collector that takes no time to answer gets all", async (t) => {
  const { endpoint, spans, until, answers } = await collector(t);
  const { telemetry, counts, config } = tracing(t, endpoint);
  answers.push({ status: 503, body: "" });
  for (let n = 0; n < 5_000; n++) telemetry.decided(observation({ trace: SAMPLED }));
  t.strictSame(await counts(), { exported: 0, dropped: 5_000 - 2_048 });
  await until(() => spans.length === 2_048);
  // Another collector than before: what the first one had is still counted.
  const other = await collector(t);
  while ((await counts()).exported !== 2_048) await new Promise((done) => setTimeout(done, 10));
  telemetry.traceTo({ ...config, endpoint: other.endpoint });
  telemetry.decided(observation({ trace: SAMPLED, principal: principal() }));
  telemetry.traceTo(undefined);
  telemetry.decided(observation({ trace: SAMPLED }));
  await other.until(() => other.spans.length === 1);
  while ((await counts()).exported !== 2_049) await new Promise((done) => setTimeout(done, 10));
  await telemetry.close();
  t.strictSame(await counts(), { exported: 2_049, dropped: 5_000 - 2_048 });
});

test("the end of the agent sends what waits, and waits for nobody who does not answer", async (t) => {
  const { endpoint, spans } = await collector(t);
  const good = tracing(t, endpoint);
  for (let n = 0; n < 1_000; n++) good.telemetry.decided(observation({ trace: SAMPLED }));
  await good.telemetry.close();
  t.equal(spans.length, 1_000);
  const gone = tracing(t, "http://127.0.0.1:9/v1/traces");
  gone.telemetry.decided(observation({ trace: SAMPLED }));
  await gone.telemetry.close();
  t.strictSame(await gone.counts(), { exported: 0, dropped: 1 });
});

test("a histogram's buckets name a trace, for who asks for OpenMetrics", async (t) => {
  const { telemetry } = recorded(t);
  telemetry.decided(observation({ trace: SAMPLED, durationUs: 13 }));
  telemetry.decided(observation({ trace: `00-${TRACE}-${PARENT}-00`, durationUs: 700_000 }));
  const text = await telemetry.openMetrics();
  const name = "countersign_decision_duration_seconds";
  t.ok(
    text.includes(`${name}_bucket{cached="true",le="2.5e-05"} 1 # {trace_id="${TRACE}"} 0.000013 ${NOON / 1_000}\n`),
  );
  t.ok(text.includes(`${name}_bucket{cached="true",le="1.0"} 2\n`), "none of a trace that is not recorded");
  t.equal(text.match(/trace_id/g)?.length, 1);
  t.match(
    text,
    /# TYPE countersign_decisions counter\n# HELP countersign_decisions [^\n]*\ncountersign_decisions_total\{/,
  );
  t.match(text, /\n# EOF\n$/);
  t.notMatch(await telemetry.metrics(), /trace_id|# EOF/);
});

test("what OpenMetrics tells goes on when garbage has been collected, which is a histogram of its own", async (t) => {
  const { telemetry } = recorded(t, { process: true });
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  while (!(await telemetry.metrics()).includes("nodejs_gc_duration_seconds_bucket"))
    await new Promise((done) => setTimeout(done, 10));
  t.match(await telemetry.openMetrics(), /nodejs_gc_duration_seconds_bucket\{[^}]*\} \d+\n/);
});
