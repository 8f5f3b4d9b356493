import { isDeepStrictEqual } from "node:util";
import { encodeHaproxyHello } from "../../../protocol/client.ts";
import { decodeActions, decodeList, decodeNotify } from "../../../protocol/decode.ts";
import { encodeFrame, encodeList, encodeMessages } from "../../../protocol/encode.ts";
import { SpopError } from "../../../protocol/errors.ts";
import { type Frame, FrameDecoder } from "../../../protocol/frame-decoder.ts";
import { encodeAgentHello, encodeDisconnect, readDisconnect, readHello } from "../../../protocol/handshake.ts";
import { FRAME_TYPE } from "../../../protocol/spop.ts";
import { VALUES } from "../../protocol/vectors.ts";
import { messageOf } from "../../support/agent.ts";
import { mutatedBytes } from "../mutate.ts";
import type { Random } from "../random.ts";
import { hold, type Target } from "../target.ts";

const LIMIT = 16_380;
const notify = (messages: Parameters<typeof encodeMessages>[0], streamId = 1n) =>
  encodeFrame(FRAME_TYPE.notify, encodeMessages(messages), { streamId, frameId: 1n });

const ORIGINALS: readonly Buffer[] = [
  notify([{ name: "authorize", args: VALUES.map(([, value], i) => ({ name: `a${i}`, value })) }], 300n),
  notify(messageOf()),
  notify([...messageOf(), ...messageOf()]),
  encodeHaproxyHello(),
  encodeHaproxyHello({ healthcheck: true }),
  encodeAgentHello({ maxFrameSize: 16_380, pipelining: true }),
  encodeDisconnect("haproxy", 2, "idle"),
];

function octets(input: Buffer): readonly Buffer[] {
  return Array.from(input, (_, at) => input.subarray(at, at + 1));
}

/** What is read of a stream of bytes, cut into pieces. */
interface Read {
  /** Each frame as bytes, and what looking at it came to. */
  readonly frames: readonly string[];
  readonly error: string | undefined;
}

const LOOKS = [decodeNotify, decodeActions, decodeList, readHello, readDisconnect];

function read(pieces: readonly Buffer[]): Read {
  const frames: string[] = [];
  const decoder = new FrameDecoder(LIMIT);
  try {
    for (const piece of pieces) {
      decoder.push(piece, (frame) => {
        frames.push(
          `${frame.type} ${frame.streamId} ${frame.frameId} ${LOOKS.map((look) => looked(frame, look)).join()}`,
        );
      });
      hold(decoder.held <= LIMIT + 4, "it holds more than a frame");
    }
    return { frames, error: undefined };
  } catch (error) {
    if (!(error instanceof SpopError)) throw error;
    return { frames, error: error.code };
  }
}

/** The word for what came of it; what was read must be read again when it is written. */
function looked(frame: Frame, look: (frame: Frame) => unknown): string {
  try {
    const value = look(frame);
    if (look === decodeNotify) again(frame, encodeMessages(decodeNotify(frame)), decodeNotify);
    if (look === decodeList) again(frame, encodeList(decodeList(frame)), decodeList);
    return typeof value;
  } catch (error) {
    if (!(error instanceof SpopError)) throw error;
    return error.code;
  }
}

function again(frame: Frame, payload: Buffer, look: (frame: Frame) => unknown): void {
  const value = look(frame);
  new FrameDecoder(1 << 24).push(encodeFrame(frame.type, payload), (written) => {
    hold(isDeepStrictEqual(look(written), value), "what was read is not what is read when it is written again");
  });
}

export const FRAMES: Target = {
  name: "frames",
  oracle:
    "SPOP frames from HAProxy: whole, byte by byte and cut anywhere they are read alike; what was read is read again when it is written; at most one frame is held; nothing but a SpopError is thrown",
  tested: 6_000,
  share: 200,
  reaches: ["frames", "FRAME_TOO_BIG", "FRAME_TOO_SHORT", "FRAGMENTED"],
  open: () => ({
    input(random: Random) {
      const count = random.once(4) ? 2 : 1;
      return Buffer.concat(Array.from({ length: count }, () => framed(random)));
    },
    check(input) {
      const whole = read([input]);
      const cut = (input.length * 7) % (input.length + 1);
      const pieces = input.length % 4 === 0 ? octets(input) : [input.subarray(0, cut), input.subarray(cut)];
      hold(isDeepStrictEqual(read(pieces), whole), "cut otherwise it is read otherwise");
      return whole.error ?? "frames";
    },
  }),
};

/** Mostly with its length in front as it is then, or hardly a frame would ever be looked into. */
function framed(random: Random): Buffer {
  const original = random.pick(ORIGINALS);
  if (random.once(6)) return mutatedBytes(original, random);
  const head = random.once(5) ? 4 : 9;
  const whole = Buffer.concat([original.subarray(0, head), mutatedBytes(original.subarray(head), random)]);
  whole.writeUInt32BE(whole.length - 4);
  return whole;
}
