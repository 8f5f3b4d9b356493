import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { decodeNotify } from "../../protocol/decode.ts";
import { FrameDecoder } from "../../protocol/frame-decoder.ts";
import { readHello } from "../../protocol/handshake.ts";
import { readings } from "./ways.ts";

const FOLDER = join(import.meta.dirname, "../vectors");
const FILES = readdirSync(FOLDER).filter((name) => /^haproxy-.*\.json$/.test(name));

/** Old HAProxys count streams of the process from 0 and events of a stream, new ones streams of the connection. */
const OLD = /haproxy-(2\.|3\.0\.)/;

const framesOf = (file: string): Readonly<Record<"check" | "hello" | "notify", string>> =>
  JSON.parse(readFileSync(join(FOLDER, file), "utf8"));

for (const file of FILES) {
  const frames = framesOf(file);
  const bytes = (name: keyof typeof frames) => Buffer.from(frames[name], "hex");

  test(`${file}: the HELLOs`, (t) => {
    const hello = { maxFrameSize: 32764, pipelining: true, healthcheck: false, engineId: /^[0-9a-f-]{36}$/ };
    t.match(readings(bytes("hello"), readHello), [hello, hello, hello]);
    // New HAProxys check with a size of their own, whatever tune.bufsize is.
    const check = { maxFrameSize: OLD.test(file) ? 32764 : 16380, pipelining: false, healthcheck: true, engineId: "" };
    t.match(readings(bytes("check"), readHello), [check, check, check]);
    t.end();
  });

  test(`${file}: a NOTIFY`, (t) => {
    const all = readings(bytes("notify"), (frame) => ({ frameId: frame.frameId, messages: decodeNotify(frame) }));
    for (const read of all) {
      if (typeof read === "string") throw new Error(read);
      const [message, ...others] = read.messages;
      t.strictSame([message?.name, others], ["authorize", []]);
      t.match(Object.fromEntries((message?.args ?? []).map(({ name, value }) => [name, value])), {
        id: { type: "string", value: /^[0-9a-f]{32}$/ },
        src: { type: "ipv4", value: "127.0.0.1" },
        tls: { type: "bool", value: false },
        method: { type: "string", value: "GET" },
        host: { type: "string", value: "orders.example.com" },
        path: { type: "string", value: "/v1/orders" },
        authorization: { type: "string", value: "Bearer example" },
        contract: { type: "string", value: "1:subject:h_x-auth-subject" },
      });
    }
    t.strictSame(all[1], all[0]);
    t.strictSame(all[2], all[0]);
    t.end();
  });
}

test("all captured frames in one stream, whole and in every size of piece", (t) => {
  t.ok(FILES.length >= 3, FILES.join(", "));
  const stream = Buffer.concat(
    FILES.flatMap((file) => Object.values(framesOf(file)).map((hex) => Buffer.from(hex, "hex"))),
  );
  const expected = FILES.flatMap(() => [1, 1, 3]);
  for (const size of [stream.length, 1, 2, 3, 4, 5, 7, 64, 127, 128, 1000]) {
    const types: number[] = [];
    const decoder = new FrameDecoder(16380);
    for (let at = 0; at < stream.length; at += size)
      decoder.push(stream.subarray(at, at + size), ({ type }) => types.push(type));
    t.strictSame(types, expected, `pieces of ${size}`);
  }
  t.end();
});
