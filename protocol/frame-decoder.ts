import { SpopError } from "./errors.ts";
import { FLAG_FIN, SMALLEST_FRAME } from "./spop.ts";
import { skipVarint, varintToBigInt } from "./varint.ts";

/**
 * One frame, as a view on the bytes that were read. It is valid only during the callback that gets it: the decoder
 * uses the same object for the next frame.
 */
export class Frame {
  bytes: Buffer = Buffer.alloc(0);
  type = 0;
  flags = 0;
  /** stream-id and frame-id as they came: an ACK repeats these bytes, so no id is ever altered */
  idsStart = 0;
  frameIdStart = 0;
  payloadStart = 0;
  payloadEnd = 0;

  get streamId(): bigint {
    return varintToBigInt(this.bytes, this.idsStart, this.frameIdStart);
  }

  get frameId(): bigint {
    return varintToBigInt(this.bytes, this.frameIdStart, this.payloadStart);
  }

  /** Points at the frame between `start` and `end`, its length prefix left out. */
  read(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes;
    this.type = bytes[start] as number;
    this.flags = bytes.readUInt32BE(start + 1);
    this.idsStart = start + 5;
    this.frameIdStart = skipVarint(bytes, this.idsStart, end);
    this.payloadStart = skipVarint(bytes, this.frameIdStart, end);
    this.payloadEnd = end;
    // The agent never advertises fragmentation, so every frame is a whole one.
    if ((this.flags & FLAG_FIN) === 0) throw new SpopError("FRAGMENTED");
  }
}

/**
 * Cuts a byte stream into frames (SPOE.txt, section 3.2), without copying unless a frame spans two reads.
 *
 * A length is judged before anything is kept for it, so a peer can make the decoder hold at most `limit` bytes.
 */
export class FrameDecoder {
  /** Largest frame accepted, in bytes, its length prefix not counted. */
  limit: number;
  /** How many frames did not come whole in one chunk so far: the number of the one that is kept. */
  halves = 0;
  readonly #frame = new Frame();
  #kept: Buffer | undefined;
  #filled = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Bytes that are kept for a frame that is not whole yet. */
  get held(): number {
    return this.#kept === undefined ? 0 : this.#kept.length;
  }

  /** Lets go of what is kept; the stream cannot be read on after it. */
  discard(): void {
    this.#kept = undefined;
  }

  /**
   * Calls `onFrame` for every frame that the chunk completes, in order.
   *
   * @throws SpopError FRAME_TOO_BIG, FRAME_TOO_SHORT, FRAGMENTED or VARINT_*; the stream cannot be read on after it
   */
  push(chunk: Buffer, onFrame: (frame: Frame) => void): void {
    let at = this.#kept === undefined ? 0 : this.#complete(chunk, onFrame);
    while (chunk.length - at >= 4) {
      const end = at + 4 + this.#length(chunk, at);
      if (end > chunk.length) break;
      this.#frame.read(chunk, at + 4, end);
      onFrame(this.#frame);
      at = end;
    }
    if (at < chunk.length) this.#keep(chunk, at);
  }

  #length(bytes: Buffer, at: number): number {
    const length = bytes.readUInt32BE(at);
    if (length > this.limit) throw new SpopError("FRAME_TOO_BIG", `${length} bytes, at most ${this.limit}`);
    if (length < SMALLEST_FRAME) throw new SpopError("FRAME_TOO_SHORT", `${length} bytes`);
    return length;
  }

  /** Keeps the start of a frame; room is made for exactly that frame once its length is known. */
  #keep(chunk: Buffer, at: number): void {
    const rest = chunk.length - at;
    const size = rest >= 4 ? 4 + this.#length(chunk, at) : 4;
    const kept = Buffer.allocUnsafe(size);
    chunk.copy(kept, 0, at);
    this.#kept = kept;
    this.#filled = rest;
    this.halves++;
  }

  /** Adds to the frame begun earlier. Returns how much of the chunk that took. */
  #complete(chunk: Buffer, onFrame: (frame: Frame) => void): number {
    let kept = this.#kept as Buffer;
    let at = chunk.copy(kept, this.#filled);
    this.#filled += at;
    if (this.#filled < kept.length) return at;
    if (kept.length === 4) {
      kept = Buffer.concat([kept], 4 + this.#length(kept, 0));
      this.#kept = kept;
      const more = chunk.copy(kept, 4, at);
      this.#filled = 4 + more;
      at += more;
      if (this.#filled < kept.length) return at;
    }
    this.#kept = undefined;
    this.#frame.read(kept, 4, kept.length);
    onFrame(this.#frame);
    return at;
  }
}
