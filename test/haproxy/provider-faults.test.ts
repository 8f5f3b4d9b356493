import { test } from "tap";
import { newestHaproxy } from "../support/haproxy.ts";
import { POLICY, stage } from "../support/stage.ts";

const BANNED = `
roles: { banned: [{ issuer: idp, group: banned }] }
${POLICY.trim()}
      - { name: write, match: [GET /v1/write], allow: [authenticated], deny: [banned] }
`;

test("a provider that is down, slow or lying lets nobody new in, and forgets nobody known", async (t) => {
  const { provider, untilAllowed, refused, served, ask } = await stage(t, newestHaproxy());
  await untilAllowed();
  const stranger = await provider.sign(
    { iss: provider.issuer, sub: "bob", aud: "api://orders", exp: 4e9 },
    { kid: "new" },
  );
  const lie = (_request: unknown, response: { end: (text: string) => void }) =>
    response.end(JSON.stringify({ keys: "none" }));
  // One such answer stopped all fetching from the provider until a restart.
  const upgrade = ({ socket }: { socket: { write: (text: string) => void } }) =>
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
  const empty = (_request: unknown, response: { end: (text: string) => void }) => response.end('{"keys":[]}');
  await provider.rotate({ keep: false });
  const fresh = await provider.token("alice");
  for (const behaviour of [upgrade, "reset", "error", "silent", lie, empty] as const) {
    provider.front.behave(behaviour);
    const refusals = new Set<string>();
    for (let i = 0; i < 4; i++) {
      const answer = await ask({ token: i % 2 === 0 ? fresh : stranger });
      t.ok(answer.status === 503 || answer.status === 401, `${answer.status}`);
      refusals.add(JSON.parse(answer.body).reason);
    }
    for (const reason of refusals)
      t.ok(["issuer-unavailable", "deadline-exceeded", "key-pending", "key-unknown"].includes(reason), reason);
    t.equal((await ask()).status, 200, "a known token is still good");
  }
  // Whether the provider was asked, and has failed by now, is up to the cooldown: somebody asks until it has.
  let ready = await served.page("/ready");
  for (let i = 0; i < 200 && !ready.text.includes("cannot be asked"); i++) {
    await ask({ token: fresh });
    await new Promise((done) => setTimeout(done, 50));
    ready = await served.page("/ready");
  }
  t.equal(ready.status, 200, "the agent stays in service");
  t.match(ready.text, "issuer idp cannot be asked");
  provider.front.behave("up");
  for (let i = 0; i < 200 && (await ask({ token: fresh })).status !== 200; i++)
    await new Promise((done) => setTimeout(done, 50));
  t.equal((await ask({ token: fresh })).status, 200, "the new keys are found without a restart");
  await refused(t, 401, "key-unknown", { token: stranger });
  await refused(t, 401, "signature-invalid", { token: `${fresh.slice(0, -8)}AAAAAAAA` });
});

test("nobody is told that a token is bad because its key is new, whoever sends unknown ones", async (t) => {
  const { provider, untilAllowed, ask } = await stage(t, newestHaproxy());
  await untilAllowed();
  const junk = async () => {
    const claims = {
      iss: provider.issuer,
      sub: "x",
      aud: "api://orders",
      exp: 4e9,
      iat: Math.floor(Date.now() / 1000),
    };
    const answer = await ask({ token: await provider.sign(claims, { kid: `${Math.random()}` }) });
    t.ok([401, 503].includes(answer.status), "an unknown key lets nobody in");
  };
  for (let change = 0; change < 3; change++) {
    await junk();
    await provider.rotate({ keep: false });
    const fresh = await provider.token("alice");
    let answer = await ask({ token: fresh });
    for (let i = 0; i < 200 && answer.status !== 200; i++) {
      t.equal(answer.status, 503);
      t.match(answer.body, /key-pending|deadline-exceeded/);
      t.equal(answer.headers["retry-after"], "1");
      await junk();
      await new Promise((done) => setTimeout(done, 20));
      answer = await ask({ token: fresh });
    }
    t.equal(answer.status, 200, "the new key is found");
  }
});

test("groups that cannot be read pass no deny by, and go where nobody asks for them", async (t) => {
  const groups = (value: unknown) => ({ kind: "person", claims: { groups: value, auth_time: "today" } }) as const;
  const parties = { number: groups(7), nothing: groups(null), banned: groups(["banned"]), staff: groups(["staff"]) };
  const { provider, untilAllowed, refused, ask, backend } = await stage(t, newestHaproxy(), BANNED, parties);
  await untilAllowed();
  const path = "/v1/write";
  for (const person of ["number", "nothing", "banned", "staff"] as const) {
    const token = await provider.token(person);
    t.equal((await ask({ token })).status, 200, `${person}: a route that asks for no groups`);
    t.strictSame(backend.last("x-auth-subject"), [person]);
    if (person === "number") await refused(t, 403, "claim-unknown", { token, path });
    else if (person === "banned") await refused(t, 403, "role-denied", { token, path });
    else t.equal((await ask({ token, path })).status, 200, person);
  }
  const claims = { iss: provider.issuer, sub: "many", aud: "api://orders", exp: 4e9 };
  const overage = {
    _claim_names: { groups: "src1" },
    _claim_sources: { src1: { endpoint: "https://evil.example" } },
  };
  await refused(t, 403, "claim-unknown", { token: await provider.sign({ ...claims, ...overage }), path });
});
