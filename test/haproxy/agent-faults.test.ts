import { test } from "tap";
import { haproxies } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { serve } from "../support/serve.ts";
import { stage } from "../support/stage.ts";

for (const binary of haproxies()) {
  const name = `HAProxy ${binary.version}`;

  test(`${name}: an agent that is killed refuses the next request of a kept connection, and recovers`, async (t) => {
    const { untilAllowed, refused, served, folder, ports } = await stage(t, binary);
    await untilAllowed();
    served.child.kill("SIGKILL");
    await refused(t, 503, "agent-unavailable");
    await refused(t, 503, "agent-unavailable");
    await serve(t, folder, ports);
    await untilAllowed();
  });

  test(`${name}: an agent that is frozen refuses in mid connection, and goes on when it is resumed`, async (t) => {
    const { untilAllowed, refused, served } = await stage(t, binary);
    await untilAllowed();
    served.child.kill("SIGSTOP");
    await refused(t, 503, "agent-unavailable");
    await refused(t, 503, "agent-unavailable");
    served.child.kill("SIGCONT");
    await untilAllowed();
  });

  test(`${name}: what is too big for a frame, or for the agent, is refused and harms nobody else`, async (t) => {
    const { untilAllowed, ask, backend, front } = await stage(t, binary);
    await untilAllowed();
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
}
