import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { haproxies } from "../support/haproxy.ts";
import { collector } from "../support/otlp.ts";
import { command } from "../support/serve.ts";
import { stage } from "../support/stage.ts";

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: trace joins what HAProxy, the agent and the mesh have written, and spans their traces`, async (t) => {
    const { endpoint, spans, until } = await collector(t);
    const traces = `traces: { endpoint: "${endpoint}" }`;
    const { folder, served, backend, log, ask, untilAllowed } = await stage(t, binary, undefined, {}, traces);
    await untilAllowed();
    // A trace that began at the client goes on, and its word on being recorded counts; another begins in HAProxy.
    const [trace, parent] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
    for (const flags of ["00", "01"]) await ask({ header: `traceparent: 00-${trace}-${parent}-${flags}` });
    t.strictSame(backend.last("traceparent"), [`00-${trace}-${parent}-01`], "as it came");
    await until(() => spans.some(({ traceId }) => traceId === trace));
    t.match(
      spans.filter(({ traceId }) => traceId === trace),
      [{ parentSpanId: parent, attributes: { "countersign.rule": "orders/read", "url.path": "/v1/orders" } }],
      "once: what is not recorded is not told",
    );
    await ask();
    const [made = ""] = backend.last("traceparent");
    const [, begun, span] = made.split("-");
    t.strictSame(backend.last("x-request-id"), [begun]);
    await until(() => spans.some(({ traceId }) => traceId === begun));
    t.equal(spans.find(({ traceId }) => traceId === begun)?.parentSpanId, span);
    const refused = JSON.parse((await ask({ path: "/v1/other" })).body).request_id;
    t.equal((await ask()).status, 200);
    const [allowed = ""] = backend.last("x-request-id");
    for (const id of [refused, allowed]) {
      const told = () =>
        log.some((line) => line.includes(id)) && served.lines.some(({ request_id }) => request_id === id);
      while (!told()) await new Promise((done) => setTimeout(done, 20));
    }
    // As Linkerd's proxy writes it, which is not here.
    const arrived = {
      "client.addr": "10.99.0.1:33206",
      "client.id": "haproxy.ingress.serviceaccount.identity.linkerd.cluster.local",
      host: "orders.example.com",
      method: "GET",
      processing_ns: "1",
      status: 200,
      timestamp: new Date().toISOString(),
      total_ns: "1",
      trace_id: allowed,
      uri: "/v1/orders",
      version: "HTTP/2.0",
    };
    const args = Object.entries({
      haproxy: log,
      decisions: served.lines.map((line) => JSON.stringify(line)),
      mesh: [JSON.stringify(arrived)],
    }).flatMap(([name, lines]) => {
      const file = join(folder, `${name}.log`);
      writeFileSync(file, lines.map((line) => `${line}\n`).join(""));
      return [`--${name}`, file];
    });
    const traced = async (id: string) => JSON.parse((await command(["trace", id, "--json", ...args])).out).requests[0];
    const { events, conclusions } = await traced(allowed);
    t.strictSame(events.map((event: { log: string }) => event.log).sort(), ["decisions", "haproxy", "mesh"]);
    t.strictSame(conclusions, []);
    const other = await traced(refused);
    t.strictSame(other.events.map((event: { log: string }) => event.log).sort(), ["decisions", "haproxy"]);
    t.strictSame(other.conclusions, ["refused at the edge: route-unknown"]);
    const { out } = await command(["trace", "--json", "--src", "127.0.0.1", ...args]);
    t.ok(JSON.parse(out).requests.length >= 2);
  });
}
