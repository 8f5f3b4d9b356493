import { test } from "tap";
import { encodeHaproxyHello } from "../../protocol/client.ts";
import { decodeActions, decodeList, decodeNotify } from "../../protocol/decode.ts";
import { encodeFrame, encodeMessages } from "../../protocol/encode.ts";
import { SpopError } from "../../protocol/errors.ts";
import { FrameDecoder } from "../../protocol/frame-decoder.ts";
import { encodeAgentHello, readDisconnect, readHello } from "../../protocol/handshake.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import { VALUES } from "./vectors.ts";

const FRAMES = 100_000;
const LIMIT = 16380;

/** A small generator with a printable seed (mulberry32), so that a failure can be repeated. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const ORIGINALS = [
  encodeFrame(
    FRAME_TYPE.notify,
    encodeMessages([{ name: "authorize", args: VALUES.map(([, value], i) => ({ name: `a${i}`, value })) }]),
    { streamId: 300n, frameId: 1n },
  ),
  encodeHaproxyHello({ healthcheck: true }),
  encodeAgentHello({ maxFrameSize: 16380, pipelining: true }),
];

function mutate(random: (below: number) => number): Buffer {
  const bytes = Buffer.from(ORIGINALS[random(ORIGINALS.length)] as Buffer);
  for (let n = random(4); n >= 0; n--) {
    // Mostly past the length, or hardly a frame would ever be looked into.
    const at = random(8) === 0 ? random(4) : 4 + random(bytes.length - 4);
    bytes[at] = random(3) === 0 ? ([0, 0x7f, 0x80, 0xf0, 0xff][random(5)] as number) : random(256);
  }
  return random(4) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
}

test(`${FRAMES} mutated frames end in values or in a SpopError, never otherwise`, (t) => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.comment(`SEED=${seed}`);
  const random = generator(seed);
  const outcomes = new Map<string, number>();
  let read = 0;
  for (let i = 0; i < FRAMES; i++) {
    const bytes = mutate(random);
    const cut = random(bytes.length + 1);
    const decoder = new FrameDecoder(LIMIT);
    for (const look of [decodeNotify, decodeActions, decodeList, readHello, readDisconnect]) {
      try {
        const onFrame = (frame: Parameters<typeof decodeNotify>[0]) => {
          look(frame);
          read++;
        };
        decoder.push(bytes.subarray(0, cut), onFrame);
        decoder.push(bytes.subarray(cut), onFrame);
      } catch (error) {
        if (!(error instanceof SpopError))
          throw new Error(`SEED=${seed}, frame ${i}: ${bytes.toString("hex")}`, { cause: error });
        outcomes.set(error.code, (outcomes.get(error.code) ?? 0) + 1);
      }
    }
  }
  t.ok(read > FRAMES / 10, "many were still legal");
  for (const code of ["FRAME_TOO_BIG", "FRAGMENTED", "VALUE_TYPE_UNKNOWN", "NAME_TRUNCATED", "VALUE_TRUNCATED"]) {
    t.ok(outcomes.has(code), `${code} was reached`);
  }
  t.end();
});
