import { test } from "tap";
import { encodeHaproxyHello } from "../../protocol/client.ts";
import { decodeActions, decodeList, decodeNotify } from "../../protocol/decode.ts";
import { encodeFrame, encodeMessages } from "../../protocol/encode.ts";
import { SpopError } from "../../protocol/errors.ts";
import { FrameDecoder } from "../../protocol/frame-decoder.ts";
import { encodeAgentHello, readDisconnect, readHello } from "../../protocol/handshake.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import { mutated, type Random, seeded } from "./mutate.ts";
import { VALUES } from "./vectors.ts";

const FRAMES = 100_000;
const LIMIT = 16380;

const ORIGINALS = [
  encodeFrame(
    FRAME_TYPE.notify,
    encodeMessages([{ name: "authorize", args: VALUES.map(([, value], i) => ({ name: `a${i}`, value })) }]),
    { streamId: 300n, frameId: 1n },
  ),
  encodeHaproxyHello({ healthcheck: true }),
  encodeAgentHello({ maxFrameSize: 16380, pipelining: true }),
];

function mutate(random: Random): Buffer {
  const original = ORIGINALS[random(ORIGINALS.length)] as Buffer;
  // Mostly past the length, or hardly a frame would ever be looked into.
  const bytes = mutated(original, random, random(8) === 0 ? 0 : 4, 4);
  return random(4) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
}

test(`${FRAMES} mutated frames end in values or in a SpopError, never otherwise`, (t) => {
  const { seed, random } = seeded(t);
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
