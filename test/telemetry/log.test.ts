import { execFileSync, spawn } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, read, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import { LineSink } from "../../agent/telemetry/sink.ts";
import { Throttle } from "../../agent/telemetry/throttle.ts";
import { loaded, NOON, observation, recorded } from "../support/telemetry.ts";

const FAULT = { file: "orders.yaml", line: 3, column: 7, found: "unknown key `rols`", right: "did you mean `roles`?" };

const LISTEN = ["127.0.0.1:9000", "unix:/run/countersign/spop.sock"];

test("the life of an agent, told to whoever runs it", async (t) => {
  const { telemetry, lines } = recorded(t);
  telemetry.started(loaded({ warnings: [FAULT], listen: LISTEN }));
  telemetry.ready();
  telemetry.reloaded(loaded({ revision: "bbbb", routes: 8, listen: LISTEN }));
  telemetry.reloadFailed([FAULT, FAULT]);
  telemetry.draining("SIGTERM");
  telemetry.stopped();
  const written = await lines();
  t.match(written, [
    {
      level: "info",
      msg: "countersign started",
      revision: "3f9a1c2d4e5f",
      services: 2,
      routes: 7,
      issuers: 1,
      warnings: ["orders.yaml:3:7: unknown key `rols`; did you mean `roles`?"],
      addresses: ["127.0.0.1:9000", "unix:/run/countersign/spop.sock"],
    },
    { level: "info", msg: /^ready/ },
    { level: "info", msg: /^reloaded/, revision: "bbbb", routes: 8 },
    { level: "error", msg: /^reload failed/, revision: "bbbb", count: 2, faults: [/^orders.yaml:3:7: /, /^orders/] },
    { level: "info", msg: /^draining/, signal: "SIGTERM" },
    { level: "info", msg: "countersign stopped" },
  ]);
  for (const { time } of written) t.equal(time, new Date(NOON).toISOString());
});

test("a thousand faults with long texts make one bounded line", async (t) => {
  const { telemetry, text } = recorded(t);
  const fault = { ...FAULT, found: "x\n\u001b".repeat(10_000) };
  telemetry.reloadFailed(Array.from({ length: 1000 }, () => fault));
  const written = await text();
  t.equal(written.indexOf("\n"), written.length - 1);
  t.ok(written.length < 64_000);
  t.match(JSON.parse(written), { count: 1000 });
  t.notMatch(written.slice(0, -1), /\p{Cc}/u);
});

test("a reload changes what is logged; a new destination or address takes a restart, and the log says so", async (t) => {
  const { telemetry, lines } = recorded(t);
  telemetry.started(loaded());
  telemetry.decided(observation());
  telemetry.reloaded(loaded({ log: { level: "warn", decisions: "refused", destination: "stderr" } }));
  telemetry.decided(observation());
  telemetry.ready();
  telemetry.reloaded(loaded({ listen: ["127.0.0.1:9009"] }));
  t.strictSame(
    (await lines()).map((line) => line.msg),
    [
      "countersign started",
      "decision",
      "log.destination was changed; that takes a restart",
      "reloaded: new requests are judged by this revision",
      "listen or workers was changed; that takes a restart",
    ],
  );
});

test("a failing issuer is told once a minute, and when it answers again", async (t) => {
  const now = { at: NOON };
  const { telemetry, lines } = recorded(t, { now });
  telemetry.fetched("okta", "jwks", "ok", 12);
  for (let second = 0; second <= 60; second++) {
    now.at = NOON + second * 1000;
    telemetry.fetched("okta", "jwks", "error", 5000, "https://okta.test/keys: timed out\u001b[2J");
  }
  telemetry.fetched("other", "jwks", "error", 1, "refused");
  telemetry.fetched("okta", "jwks", "ok", 12);
  telemetry.fetched("okta", "jwks", "error", 5000, "again");
  t.match(
    (await lines()).map(({ level, issuer, error, held_back }) => ({ level, issuer, error, held_back })),
    [
      { level: "warn", issuer: "okta", error: "https://okta.test/keys: timed out\ufffd[2J", held_back: undefined },
      { level: "warn", issuer: "okta", held_back: 59 },
      { level: "warn", issuer: "other", error: "refused" },
      { level: "info", issuer: "okta", error: undefined },
      { level: "warn", issuer: "okta", error: "again" },
    ],
  );
});

test("keys that cannot be used are told one by one, once a minute, and when they can be again", async (t) => {
  const now = { at: NOON };
  const { telemetry, lines } = recorded(t, { now });
  const keys = [
    { kid: "a\u202e", why: "it is weak" },
    { kid: undefined, why: "it is not an object" },
  ];
  telemetry.unusable("okta", []);
  for (const at of [0, 1, 59_999, 60_000]) {
    now.at = NOON + at;
    telemetry.unusable("okta", keys);
  }
  telemetry.unusable("okta", []);
  telemetry.unusable("okta", []);
  const texts = ["a\ufffd: it is weak", "without kid: it is not an object"];
  t.match(
    (await lines()).map(({ level, issuer, keys, count, held_back }) => ({ level, issuer, keys, count, held_back })),
    [
      { level: "warn", issuer: "okta", keys: texts, count: 2 },
      { level: "warn", issuer: "okta", keys: texts, count: 2, held_back: 2 },
      { level: "info", issuer: "okta" },
    ],
  );
});

test("floods of broken connections, stalls and bugs are one line each", async (t) => {
  const { telemetry, lines } = recorded(t);
  for (let time = 0; time < 1000; time++) {
    telemetry.connected();
    telemetry.protocolError("invalid-frame");
    telemetry.protocolError(`made up ${time}`);
    telemetry.disconnected();
    telemetry.dropped(20);
    telemetry.healthCheck();
    telemetry.unexpected("accepting a connection", new Error("x\ny".repeat(10_000)));
  }
  const written = await lines();
  t.match(
    written.map(({ level, code, requests, where }) => ({ level, code, requests, where })),
    [
      { level: "warn", code: "invalid-frame" },
      { level: "warn", code: "other" },
      { level: "warn", requests: 20 },
      { level: "error", where: "accepting a connection" },
    ],
  );
  t.equal(written.length, 4);
  t.ok(String(written[3]?.error).length <= 2048);
});

test("connections are told at level debug", async (t) => {
  const { telemetry, lines } = recorded(t, { level: "debug" });
  telemetry.connected();
  telemetry.healthCheck();
  telemetry.disconnected();
  telemetry.fetched("okta", "discovery", "ok", 3);
  t.equal((await lines()).filter(({ level }) => level === "debug").length, 4);
});

test("a throttle forgets old kinds rather than growing", (t) => {
  const throttle = new Throttle(1000);
  for (let kind = 0; kind < 5000; kind++) throttle.pass(`kind ${kind}`, 0);
  t.equal(throttle.pass("kind 4999", 500), undefined, "held back");
  t.equal(throttle.pass("kind 4999", 1000), 1, "one was held back meanwhile");
  t.equal(throttle.pass("kind 0", 0), 0, "long forgotten");
  t.equal(throttle.pass("kind 4999", 0), 0, "the clock was set back");
  t.end();
});

const LINE = `${JSON.stringify({ filler: "x".repeat(400) })}\n`;
// One batch is 40 lines. The last 39 do not fit beside those that fill the backlog; a single short line does.
const SENT = 50_039;

for (const mode of ["blocking", "non-blocking"] as const) {
  test(`a ${mode} pipe that nobody reads: lines are dropped and counted, the rest arrives whole`, async (t) => {
    const { writer, reader } = pipe(t, mode === "blocking" ? 0 : constants.O_NONBLOCK);
    let reported = 0;
    const sink = new LineSink(writer, Date.now, (lost) => {
      reported += lost;
    });
    for (let count = 0; count < SENT; count++) sink.add(LINE);
    sink.write('{"important":true}\n');
    const kept = SENT - sink.dropped;
    t.ok(sink.dropped > 0, "the backlog is bounded");
    t.ok(kept * LINE.length <= 4 * 1024 * 1024, `${kept} lines were kept`);

    const received = await linesFrom(reader, kept + 1);
    t.equal(received.filter((line) => `${line}\n` === LINE).length, kept);
    t.equal(received.at(-1), '{"important":true}', "a single line still found room");
    await sink.close();
    t.equal(reported, sink.dropped, "the loss is reported once there is room");
  });
}

test("closing does not wait for a reader that is stuck, and what comes later is counted", async (t) => {
  const { writer, reader } = pipe(t, constants.O_NONBLOCK);
  const sink = new LineSink(writer, Date.now, () => {});
  for (let count = 0; count < 1000; count++) sink.add(LINE);
  await sink.close();
  sink.write(LINE);
  t.equal(sink.dropped, 1);
  closeSync(reader);
});

test("a log that nobody can read or write any more: the agent goes on, and says so", async (t) => {
  const { writer, reader } = pipe(t, constants.O_NONBLOCK);
  closeSync(reader);
  const full = openSync("/dev/full", "w");
  for (const [fd, code] of [
    [writer, "EPIPE"],
    [full, "ENOSPC"],
  ] as const) {
    const sink = new LineSink(fd, Date.now, () => {});
    sink.write(LINE);
    while (sink.failure === undefined) await new Promise(setImmediate);
    t.equal(sink.failure, code);
    for (let count = 0; count < SENT; count++) sink.add(LINE);
    t.ok(sink.dropped > 0);
    await sink.close();
  }
  closeSync(writer);
});

test("a process that ends, well or not, leaves no line behind", async (t) => {
  for (const [end, status] of [
    ["process.exit(3)", 3],
    ["throw new Error('bug')", 1],
    ["0", 0],
  ] as const) {
    const script = `
      import { LineSink } from ${JSON.stringify(new URL("../../agent/telemetry/sink.ts", import.meta.url))};
      const sink = new LineSink(1, Date.now, () => {});
      for (let i = 0; i < 100; i++) sink.add(i + "\\n");
      ${end};`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let written = "";
    for await (const chunk of child.stdout) written += chunk;
    t.equal(written.split("\n").length, 101, end);
    t.equal(child.exitCode ?? (await new Promise((resolve) => child.once("exit", resolve))), status);
  }
});

/** A fifo with both ends open. */
function pipe(t: Test, flags: number): { writer: number; reader: number } {
  const directory = mkdtempSync(join(tmpdir(), "countersign-pipe-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "fifo");
  execFileSync("mkfifo", [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return { reader, writer: openSync(path, constants.O_WRONLY | flags) };
}

/** Reads a number of lines, then closes the reader. */
async function linesFrom(reader: number, count: number): Promise<string[]> {
  let text = "";
  let seen = 0;
  const buffer = Buffer.alloc(65_536);
  while (seen < count) {
    const size = await new Promise<number>((resolve) => {
      read(reader, buffer, (error, bytes) => resolve(error ? 0 : bytes));
    });
    const chunk = buffer.toString("utf8", 0, size);
    text += chunk;
    seen += chunk.split("\n").length - 1;
  }
  closeSync(reader);
  return text.split("\n").slice(0, count);
}
