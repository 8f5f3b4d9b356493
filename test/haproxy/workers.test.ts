import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { haproxies, minorOf } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { POLICY, stage } from "../support/stage.ts";

interface Worker {
  readonly pid: number;
  readonly requests: number;
}

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: two workers share the requests, reload as one, and one carries on alone`, async (t) => {
    // What is lost is refused at once, whatever the deadline; on a busy machine nothing else is to be refused by it.
    const more = "workers: 2\ndeadline: 10s\n";
    const { served, untilAllowed, ask, front, folder } = await stage(t, binary, POLICY, {}, more);
    await untilAllowed();
    const workers = async () => (JSON.parse((await served.page("/status")).text) as { workers: Worker[] }).workers;
    const clients = await Promise.all(Array.from({ length: 8 }, () => RawClient.open(front)));
    t.teardown(() => clients.map((client) => client.close()));
    /** Every client asks so often; how many answers were no 200. */
    const refused = async (times: number) => {
      const each = clients.map(async (client) => {
        let others = 0;
        for (let i = 0; i < times; i++) if ((await ask({ client })).status !== 200) others++;
        return others;
      });
      return (await Promise.all(each)).reduce((sum, others) => sum + others, 0);
    };

    // Up to 3.0 HAProxy chooses a server for each connection, and asks on whichever is free: few requests may need one.
    const perRequest = Number(minorOf(binary)) >= 3.1;
    t.equal(await refused(25), 0);
    const shared = (await workers()).map(({ requests }) => requests);
    if (perRequest) t.ok(Math.min(...shared) >= 0.4 * shared.reduce((a, b) => a + b), `${shared}`);

    writeFileSync(join(folder, "policies/orders.yaml"), POLICY.replace("name: read", "name: renamed"));
    const asking = refused(50);
    const { revision, time } = await served.said("reloaded");
    t.equal(await asking, 0);
    t.equal(await refused(25), 0);

    process.kill((await workers())[0]?.pid ?? 0, "SIGKILL");
    // What was in flight on it is lost: HAProxy asks nothing twice.
    t.ok((await refused(50)) <= clients.length * 2, "its connections are gone, the other worker is there");
    await served.said("the worker answers again");
    while (perRequest && (await workers())[0]?.requests === 0) await refused(5);
    t.equal(await refused(10), 0, "both answer again");

    const later = served.lines.filter((line) => line.msg === "decision" && String(line.time) > String(time));
    t.ok(later.length > 0);
    t.ok(
      later.every((line) => line.revision === revision),
      "nothing was judged by the old policies once that was told",
    );
  });
}
