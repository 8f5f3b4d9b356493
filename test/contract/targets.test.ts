import { readFileSync } from "node:fs";
import { type Test, test } from "tap";
import { encodeFrame } from "../../protocol/encode.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import { type Received, startBackend } from "../support/backend.ts";
import { freePort, type HaproxyBinary, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { type RawField, requestRaw } from "../support/http2.ts";
import { filesFor, INPUT } from "../support/rendered.ts";
import { type Asked, actions, startRogue } from "../support/rogue.ts";

/** Requests by whose targets or hosts two programs could be led to read different things. */
interface Targets {
  /** Request line and header lines. */
  readonly http1: readonly (readonly [line: string, ...fields: string[]])[];
  /** What differs from a good request; null leaves a field out, a list sends it again and again. */
  readonly http2: readonly Readonly<Record<string, string | readonly string[] | null>>[];
}

const TEXT = readFileSync(new URL("targets.json", import.meta.url), "utf8");
const TARGETS = JSON.parse(TEXT.replaceAll("LONG", "l".repeat(3000))) as Targets;
const HOST = "orders.example.com";
const GOOD = { ":method": "GET", ":scheme": "http", ":path": "/p?x=1", ":authority": HOST };

/** What became of a request: the answer's status, what the agent was told, what the backend got. */
interface Outcome {
  readonly name: string;
  readonly status: number | undefined;
  readonly told: ReadonlyMap<string, string> | undefined;
  readonly received: readonly Received[];
}

/** HAProxy with an agent that allows everything, and a second port that speaks HTTP/2. */
async function stage(t: Test, binary: HaproxyBinary, inherited: readonly string[]) {
  const asked: Asked[] = [];
  const agent = await startRogue(t, (one, socket) => {
    asked.push(one);
    const list = [
      ["id", one.id],
      ["backend", "orders"],
      ["header_1", "alice"],
      ["verdict", "allow"],
    ] as const;
    socket.write(encodeFrame(FRAME_TYPE.ack, actions(list), one));
  });
  const backend = await startBackend(t);
  const [port, second] = [await freePort(), await freePort()];
  const changes = { bind: [`127.0.0.1:${port}`, `127.0.0.1:${second} proto h2`], uses: { ...INPUT.uses, query: true } };
  const files = filesFor(binary, "", agent, backend.port, changes);
  const loosened = files["haproxy.cfg"].replace(/^defaults .*$/m, (line) => [line, ...inherited].join("\n    "));
  const log = await startHaproxy(t, binary, { ...files, "haproxy.cfg": loosened }, port);
  const outcome = async (name: string, send: () => Promise<number | undefined>): Promise<Outcome> => {
    const before = [asked.length, backend.received.length] as const;
    const status = await send();
    return { name, status, told: asked.slice(before[0]).at(-1)?.told, received: backend.received.slice(before[1]) };
  };
  const http1 = ([line = "", ...fields]: readonly string[]) =>
    outcome(JSON.stringify([line, ...fields]).slice(0, 120), async () => {
      const client = await RawClient.open(port);
      const answer = await client.request(bytes(line), fields.map(bytes)).catch(() => undefined);
      client.close();
      return answer?.status;
    });
  const http2 = (different: Targets["http2"][number]) =>
    outcome(JSON.stringify(different).slice(0, 120), () => requestRaw(second, fieldsOf(different)));
  while ((await http1(["GET /p HTTP/1.1", `host: ${HOST}`])).status !== 200)
    await new Promise((done) => setTimeout(done, 50));
  return { http1, http2, log };
}

/** RawClient sends one byte a character. */
function bytes(text: string): string {
  return Buffer.from(text).toString("latin1");
}

function fieldsOf(different: Targets["http2"][number]): readonly RawField[] {
  const names = [...new Set([...Object.keys(GOOD), ...Object.keys(different)])];
  // Pseudo-header fields come first (RFC 9113, section 8.3).
  names.sort((a, b) => Number(b.startsWith(":")) - Number(a.startsWith(":")));
  return names.flatMap((name) => {
    const value = name in different ? different[name] : GOOD[name as keyof typeof GOOD];
    const values = typeof value === "string" ? [value] : (value ?? []);
    return values.map((one) => [name, one] as const);
  });
}

/** Why the backend could have read another request than the agent did; undefined where it could not. */
function difference({ status, told, received }: Outcome): string | undefined {
  if (received.length === 0) return status === undefined || status >= 400 ? undefined : "answered, but not forwarded";
  const [request] = received;
  if (told === undefined || request === undefined || received.length > 1) return `${received.length} arrived`;
  const query = told.get("query");
  const target = bytes(query === undefined ? `${told.get("path")}` : `${told.get("path")}?${query}`);
  const arrived = request.line.split(" ").slice(1, -1).join(" ");
  if (!arrived.startsWith("/") || arrived !== target) return `told ${target}, arrived ${arrived}`;
  const hosts = request.headers.filter(([name]) => name.toLowerCase() === "host").map(([, value]) => value);
  const expected = [told.get("host")].flatMap((host) => (host === undefined ? [] : [bytes(host)]));
  return String(hosts) === String(expected) ? undefined : `told host ${expected}, arrived ${hosts}`;
}

/** The lines of the access log by request id, once there are those of all these ids. */
async function logged(log: readonly string[], ids: readonly string[]) {
  for (;;) {
    const entries = log.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
    const byId = new Map<string, Readonly<Record<string, unknown>>>(entries.map((entry) => [entry.request_id, entry]));
    if (ids.every((id) => byId.has(id))) return byId;
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** What a user's `defaults` may say, by the names that this HAProxy knows. */
function loosening(binary: HaproxyBinary): readonly string[] {
  const old = ["option accept-invalid-http-request"];
  return Number(minorOf(binary)) < 3.1 ? old : [...old, "option accept-unsafe-violations-in-http-request"];
}

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: what arrives is what was judged, byte for byte, whatever the target`, async (t) => {
    const statuses: unknown[][] = [];
    for (const inherited of [[], loosening(binary)]) {
      const { http1, http2, log } = await stage(t, binary, inherited);
      const outcomes: Outcome[] = [];
      for (const request of TARGETS.http1) outcomes.push(await http1(request));
      for (const request of TARGETS.http2) outcomes.push(await http2(request));
      t.strictSame(
        outcomes.flatMap((outcome) => {
          const found = difference(outcome);
          return found === undefined ? [] : [`${outcome.name}: ${found}`.slice(0, 300)];
        }),
        [],
        inherited.join(", ") || "nothing inherited",
      );
      const allowed = outcomes.filter(({ received }) => received.length > 0);
      t.ok(allowed.length > 50, `${allowed.length} of ${outcomes.length} arrived`);

      const judged = outcomes.flatMap(({ told }) => (told === undefined ? [] : [told]));
      const entries = await logged(
        log,
        judged.map((told) => told.get("id") ?? ""),
      );
      for (const told of judged) {
        t.equal(
          entries.get(told.get("id") ?? "")?.path,
          told.get("path")?.slice(0, 384),
          "the log has what was judged",
        );
      }
      statuses.push(outcomes.map(({ name, status }) => [name, status]));
    }
    t.strictSame(statuses[1], statuses[0], "what is inherited loosens nothing");
  });

  test(`HAProxy ${binary.version}: of an absolute target only path and query go on`, async (t) => {
    const { http1, http2 } = await stage(t, binary, []);
    for (const target of ["http:///p?x", "http://u:p@orders.example.com/p?x", "foo://orders.example.com/p?x"]) {
      const { status, received } = await http1([`GET ${target} HTTP/1.1`, `host: ${HOST}`]);
      if (status === 400) continue; // From 3.2 on HAProxy itself refuses an empty authority.
      t.strictSame(
        received.map(({ line }) => line),
        ["GET /p?x HTTP/1.1"],
        target,
      );
    }
    const { received } = await http2({ ":scheme": "foo" });
    t.strictSame(
      received.map(({ line }) => line),
      ["GET /p?x=1 HTTP/1.1"],
    );
  });
}
