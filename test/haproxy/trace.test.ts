import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { haproxies } from "../support/haproxy.ts";
import { command } from "../support/serve.ts";
import { stage } from "../support/stage.ts";

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: trace joins what HAProxy, the agent and the mesh have written`, async (t) => {
    const { folder, served, backend, log, ask, untilAllowed } = await stage(t, binary);
    await untilAllowed();
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
