import type { Socket } from "node:net";
import { gzipSync } from "node:zlib";
import type { Ending } from "../support/raw-provider.ts";

const OK = "HTTP/1.1 200 OK\r\n";

const says =
  (...parts: (string | Buffer)[]): Ending =>
  (socket) => {
    for (const part of parts) socket.write(part);
  };

const endsWith =
  (...parts: (string | Buffer)[]): Ending =>
  (socket) => {
    for (const part of parts) socket.write(part);
    socket.end();
  };

/** Writes on and on, as fast as it is read but never at once. */
const drips =
  (head: string, drop: string): Ending =>
  (socket: Socket) => {
    socket.write(head);
    const drip = () => {
      if (!socket.destroyed) socket.write(drop, () => setTimeout(drip, 1));
    };
    drip();
  };

/** The ways of a connection to end, or not to, and what is said of each. With `no answer in time` nobody ends it. */
export const ENDINGS: readonly (readonly [name: string, error: RegExp, ending: Ending])[] = [
  [
    "101 with Upgrade",
    /status 101/,
    says("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
  ],
  [
    "101, and an end",
    /status 101/,
    endsWith("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nbytes"),
  ],
  ["101 without anything", /status 101|no answer in time/, says("HTTP/1.1 101 Switching Protocols\r\n\r\n")],
  ["200 that upgrades", /./, endsWith(`${OK}connection: upgrade\r\nupgrade: h2c\r\n\r\n{}`)],
  ["early hints and silence", /no answer in time/, says("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")],
  ["100 and silence", /no answer in time/, says("HTTP/1.1 100 Continue\r\n\r\n")],
  ["102 without end", /no answer in time/, drips("", "HTTP/1.1 102 Processing\r\n\r\n")],
  ["early hints and an end", /socket hang up/, endsWith("HTTP/1.1 103 Early Hints\r\n\r\n")],
  ["204", /status 204/, says("HTTP/1.1 204 No Content\r\n\r\n")],
  ["304", /status 304/, says("HTTP/1.1 304 Not Modified\r\n\r\n")],
  ["205 with a body that never comes", /status 205/, says("HTTP/1.1 205 Reset\r\ncontent-length: 5\r\n\r\n")],
  ["302 without a place", /may not be asked/, says("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n")],
  ["407", /status 407/, says("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")],
  ["status 000", /Parse Error|status 0/, says("HTTP/1.1 000 Nothing\r\n\r\n")],
  ["an end at once", /socket hang up/, (socket) => socket.end()],
  ["a reset at once", /ECONNRESET/, (socket) => socket.resetAndDestroy()],
  ["silence", /no answer in time/, () => {}],
  ["an end within the headers", /socket hang up|Parse Error/, endsWith(`${OK}content-len`)],
  ["headers that stop", /no answer in time/, says(`${OK}content-length: 2\r\n`)],
  ["headers without end, slowly", /no answer in time/, drips(OK, "x")],
  ["headers without end", /Header overflow/, says(OK, "x-filler: x\r\n".repeat(2000))],
  ["one header without end", /Header overflow/, says(OK, `x: ${"x".repeat(20_000)}`)],
  ["a body that drips", /no answer in time/, drips(`${OK}content-length: 1000000\r\n\r\n`, " ")],
  ["a body that drips beyond its bound", /larger than/, drips(`${OK}\r\n`, " ".repeat(500_000))],
  ["a body that stops", /no answer in time/, says(`${OK}content-length: 100\r\n\r\n{`)],
  ["a body that is cut short", /aborted/, endsWith(`${OK}content-length: 100\r\n\r\n{`)],
  [
    "a reset within the body",
    /aborted|ECONNRESET/,
    (socket) => socket.write(`${OK}content-length: 100\r\n\r\n{`, () => socket.resetAndDestroy()),
  ],
  ["a body longer than it says", /not JSON/, says(`${OK}content-length: 1\r\n\r\n{}`)],
  ["two lengths", /Parse Error/, says(`${OK}content-length: 2\r\ncontent-length: 3\r\n\r\n{}`)],
  ["a length that is none", /Parse Error/, says(`${OK}content-length: x\r\n\r\n{}`)],
  [
    "a length and chunks",
    /Parse Error/,
    says(`${OK}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n`),
  ],
  ["a length beyond the bound", /larger than/, says(`${OK}content-length: 99999999\r\n\r\n`)],
  ["chunks of garbage", /Parse Error|aborted/, says(`${OK}transfer-encoding: chunked\r\n\r\nzz\r\n`)],
  ["chunks that stop", /no answer in time/, says(`${OK}transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n`)],
  ["chunks that are cut short", /aborted/, endsWith(`${OK}transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n`)],
  [
    "chunk extensions without end",
    /no answer in time|Parse Error|overflow|aborted/,
    drips(`${OK}transfer-encoding: chunked\r\n\r\n2;`, "x".repeat(9000)),
  ],
  [
    "trailers without end",
    /no answer in time|overflow|aborted/,
    drips(`${OK}transfer-encoding: chunked\r\n\r\n0\r\n`, "a: b\r\n"),
  ],
  ["something else than HTTP", /Parse Error/, says("SSH-2.0-OpenSSH_9.2\r\n")],
  ["HTTP/2", /Parse Error/, says(Buffer.from("0000040000000000", "hex"))],
  ["an empty body", /not JSON/, says(`${OK}content-length: 0\r\n\r\n`)],
  ["a bomb", /larger than/, endsWith(`${OK}content-encoding: gzip\r\n\r\n`, gzipSync(Buffer.alloc(1 << 22, " ")))],
  [
    "half a compressed body",
    /not compressed as it says/,
    endsWith(`${OK}content-encoding: gzip\r\n\r\n`, gzipSync("{}").subarray(0, 12)),
  ],
  ["an unknown compression", /compressed/, endsWith(`${OK}content-encoding: zzz\r\n\r\n{}`)],
];
