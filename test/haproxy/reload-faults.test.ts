import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { freePort, haproxies, newestHaproxy, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { generated, POLICY, stage } from "../support/stage.ts";

test("a broken policy changes nothing, and says so", async (t) => {
  const { folder, untilAllowed, served, refused, ask } = await stage(t, newestHaproxy());
  await untilAllowed();
  const file = join(folder, "policies/orders.yaml");
  writeFileSync(file, POLICY.replace("allow: [authenticated]", "alow: [anyone]"));
  const line = await served.said("reload failed");
  t.match(String(line.faults), /orders\.yaml:8:\d+: unknown key "alow"; did you mean "allow"\?/);
  t.equal((await ask()).status, 200);
  await refused(t, 401, "token-malformed", { token: "x" });
  t.match((await served.page("/ready")).text, "failed and changed nothing");
  t.match((await served.page("/metrics")).text, "countersign_last_reload_successful 0");
  rmSync(file);
  await served.said("reload failed", 2);
  t.equal((await ask()).status, 200);
  writeFileSync(file, POLICY.replace("- { name: read", "- { name: renamed"));
  await served.said("reloaded");
  t.equal((await ask()).status, 200);
  t.match((await served.page("/metrics")).text, "countersign_last_reload_successful 1");
  t.notMatch((await served.page("/ready")).text, "failed and changed nothing");
});

for (const binary of haproxies()) {
  const name = `HAProxy ${binary.version}`;

  test(`${name}: a policy that needs more than the running HAProxy does is refused until HAProxy is reloaded`, async (t) => {
    const { folder, untilAllowed, served, refused, ask } = await stage(t, binary);
    await untilAllowed();
    const more = `
      - { name: tenant, match: [GET /tenant], allow: [authenticated], headers: { x-auth-tenant: principal.subject } }
      - { name: query, match: [GET /query], allow: [anyone], when: 'request.query == "a=1"' }
      - { name: region, match: [GET /region], allow: [anyone], when: 'request.headers["x-region"] == "emea"' }
`;
    writeFileSync(join(folder, "policies/orders.yaml"), POLICY + more);
    await served.said("reloaded");
    for (const path of ["/tenant", "/query?a=1", "/region"]) await refused(t, 503, "haproxy-config-outdated", { path });
    t.equal((await ask()).status, 200, "other routes go on");
    const front = await freePort();
    const files = await generated(folder);
    const cfg = (files["haproxy.cfg"] ?? "").replace(/bind 127\.0\.0\.1:\d+/, `bind 127.0.0.1:${front}`);
    await startHaproxy(t, binary, { ...files, "haproxy.cfg": cfg }, front);
    const client = await RawClient.open(front);
    t.teardown(() => client.close());
    t.equal((await ask({ client, path: "/tenant" })).status, 200);
    t.equal((await ask({ client, path: "/query?a=1" })).status, 200);
    t.equal((await ask({ client, path: "/query?a=2" })).status, 403);
    t.equal((await ask({ client, path: "/region", header: "x-region: emea" })).status, 200);
    t.equal((await ask({ client, path: "/region", header: "x-region: apac" })).status, 403);
    t.equal((await ask({ client, path: "/region" })).status, 403);
  });
}
