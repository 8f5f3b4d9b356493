import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { meshIdentities } from "../../agent/answer/mesh-identities.ts";
import { CONFIG } from "../support/agent.ts";
import { freePort, haproxies, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { policiesFrom } from "../support/policies.ts";
import { generated, POLICY, stage } from "../support/stage.ts";

const MESH = "mesh: { service: orders, namespace: shop, port: http, pods: { app: orders }, identity: orders.shop }";
const WHOLE = "orders.shop.serviceaccount.identity.linkerd.cluster.local";
const MESHED = POLICY.replace("backend: orders", `backend: orders\n    ${MESH}`);

const service = (name: string, mesh: string) => `
  ${name}:
    hosts: [${name}.example]
    issuers: [aws]
    backend: ${name}
    mesh: { service: ${name}, namespace: shop, port: http, pods: { app: ${name} }, ${mesh} }
    allow: [anyone]
    routes: [{ name: all, match: ["* /{path...}"] }]`;

test("whom a backend has to be is said only where Linkerd's proxy sees HTTP, and in full", (t) => {
  const mesh = { trustDomain: "mesh.example", controlPlane: "lines", identity: "haproxy.ingress" };
  const { services } = policiesFrom(`services:
${service("plain", "identity: orders.shop")}
${service("grpc", "identity: a.b.serviceaccount.identity.linkerd.cluster.local, protocol: HTTP/2")}
${service("vm", "identity: spiffe://mesh.example/vm")}
${service("opaque", "identity: orders.shop, protocol: opaque, routes: false")}
${service("tls", "identity: orders.shop")}
${service("socket", "identity: orders.shop")}
`);
  const backends = {
    plain: { servers: ["10.0.0.7:80"] },
    tls: { servers: ["orders.shop:443"], tls: { verify: "required" as const } },
    socket: { servers: ["unix@/run/orders.sock"] },
  };
  const haproxy = { ...CONFIG.haproxy, backends };
  t.strictSame(Object.fromEntries(meshIdentities({ mesh, haproxy }, services)), {
    plain: "orders.shop.serviceaccount.identity.lines.mesh.example",
    grpc: "a.b.serviceaccount.identity.linkerd.cluster.local",
    vm: "spiffe://mesh.example/vm",
  });
  t.equal(meshIdentities({ mesh: undefined, haproxy }, services).size, 0);
  t.end();
});

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: nothing goes to a meshed backend without whom it has to be`, async (t) => {
    const more = "mesh: { identity: haproxy.ingress }";
    const { folder, backend, untilAllowed, served, refused, ask } = await stage(t, binary, POLICY, {}, more);
    await untilAllowed();
    t.strictSame(backend.last("l5d-require-id"), []);
    writeFileSync(join(folder, "policies/orders.yaml"), MESHED);
    await served.said("reloaded");
    await refused(t, 503, "haproxy-config-outdated");
    const front = await freePort();
    const files = await generated(folder);
    const cfg = (files["haproxy.cfg"] ?? "").replace(/bind 127\.0\.0\.1:\d+/, `bind 127.0.0.1:${front}`);
    await startHaproxy(t, binary, { ...files, "haproxy.cfg": cfg }, front);
    const client = await RawClient.open(front);
    t.teardown(() => client.close());
    for (const header of ["l5d-require-id: mallory.shop", "L5D_Require_Id: mallory.shop", "accept: */*"]) {
      while ((await ask({ client, header })).status !== 200) await new Promise((done) => setTimeout(done, 20));
      t.strictSame(backend.last("l5d-require-id"), [WHOLE], header);
      t.strictSame(backend.last("x-auth-subject"), ["alice"]);
    }
    writeFileSync(join(folder, "policies/orders.yaml"), MESHED.replace("identity: orders.shop", "identity: new.shop"));
    await served.said("reloaded", 2);
    t.equal((await ask({ client })).status, 200);
    t.strictSame(backend.last("l5d-require-id"), [WHOLE.replace("orders", "new")], "of the policies in force");
  });
}
