import { SpopError } from "../../protocol/errors.ts";
import { type Frame, FrameDecoder } from "../../protocol/frame-decoder.ts";

const LIMIT = 16380;

/** A whole frame from hexadecimal text, made without the encoder that is tested. */
export function frameOf(type: number, payload: string, ids = "0101", flags = "00000001"): Buffer {
  const body = Buffer.from(`${type.toString(16).padStart(2, "0")}${flags}${ids}${payload}`, "hex");
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

const NEIGHBOUR = frameOf(3, "", "f0f1fefe7e02");

/**
 * What `look` makes of one frame in each way that its bytes can come: whole, byte by byte, and joined with the frames
 * before and after it. A SpopError comes out as its code.
 */
export function readings<T>(bytes: Buffer, look: (frame: Frame) => T): readonly (T | string)[] {
  const joined = Buffer.concat([NEIGHBOUR, bytes, NEIGHBOUR]);
  const [, ...ofJoined] = read([joined], look);
  return [
    read([bytes], look)[0],
    read(
      Array.from(bytes, (byte) => Buffer.of(byte)),
      look,
    )[0],
    ofJoined[0],
  ].map((result) => result ?? "nothing");
}

function read<T>(chunks: readonly Buffer[], look: (frame: Frame) => T): (T | string)[] {
  const decoder = new FrameDecoder(LIMIT);
  const results: (T | string)[] = [];
  const looked = (frame: Frame) => results.push(attempt(() => look(frame)));
  for (const chunk of chunks) {
    const broken = attempt(() => decoder.push(chunk, looked));
    if (broken === undefined) continue;
    results.push(broken);
    break;
  }
  return results;
}

function attempt<T>(call: () => T): T | string {
  try {
    return call();
  } catch (error) {
    if (error instanceof SpopError) return error.code;
    throw error;
  }
}
