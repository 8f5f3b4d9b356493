import { connect } from "node:net";
import { test } from "tap";
import { haproxies, newestHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { serve } from "../support/serve.ts";
import { POLICY, stage } from "../support/stage.ts";

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: nobody gets by an agent that cannot answer`, async (all) => {
    const { untilAllowed, refused, ask, served, folder, ports, backend, front } = await stage(all, binary);
    await untilAllowed();

    await all.test("what is too big for a frame, or for the agent, is refused and harms nobody else", async (t) => {
      const before = backend.received.length;
      for (const size of [8_000, 8_300, 12_000, 15_000, 16_000, 40_000]) {
        const client = await RawClient.open(front);
        const answer = await ask({ token: "x".repeat(size), client }).catch(() => ({ status: 400 }));
        t.ok([400, 401, 431, 503].includes(answer.status), `a token of ${size}: ${answer.status}`);
        client.close();
      }
      for (const size of [7_000, 14_000]) {
        const client = await RawClient.open(front);
        const answer = await ask({ path: `/v1/large/${"x".repeat(size)}`, token: "x".repeat(7_500), client }).catch(
          () => ({ status: 400 }),
        );
        t.ok([400, 401, 414, 431, 503].includes(answer.status), `a path of ${size} beside it: ${answer.status}`);
        client.close();
      }
      t.equal(backend.received.length, before);
      t.equal((await ask()).status, 200, "the others are answered as before");
    });

    await all.test("an agent that is frozen refuses in mid connection, and goes on when it is resumed", async (t) => {
      served.child.kill("SIGSTOP");
      await refused(t, 503, "agent-unavailable");
      await refused(t, 503, "agent-unavailable");
      served.child.kill("SIGCONT");
      await untilAllowed();
    });

    await all.test("an agent that is killed refuses the next request of a kept connection, and recovers", async (t) => {
      served.child.kill("SIGKILL");
      await refused(t, 503, "agent-unavailable");
      await refused(t, 503, "agent-unavailable");
      await serve(all, folder, ports);
      await untilAllowed();
    });
  });
}

test("a flood of the admin listener refuses no request, and probes are answered through it", async (t) => {
  // On a busy machine nothing else is to be refused by the deadline; what the flood holds up waits longer than this.
  const { untilAllowed, ask, served, ports } = await stage(t, newestHaproxy(), POLICY, {}, "deadline: 5s\n");
  await untilAllowed();
  const flood = (text: string) => {
    const socket = connect(ports.admin, "127.0.0.1").on("error", () => {});
    t.teardown(() => socket.destroy());
    return new Promise<void>((done) => socket.resume().write(text, () => done()));
  };
  const page = "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3000);
  await Promise.all(Array.from({ length: 8 }, () => flood(page)));
  await Promise.all(Array.from({ length: 100 }, () => flood("GET /status HTTP/1.1\r\n")));
  const statuses: number[] = [];
  for (let i = 0; i < 28; i++) {
    if (i % 4 === 0) await flood(page);
    statuses.push((await ask()).status);
  }
  t.strictSame(statuses, Array(28).fill(200));
  t.equal((await served.page("/live")).status, 200);
});
