import type { Argument, Message } from "./decode.ts";
import { ACTION_TYPE, FLAG_FIN, FRAME_TYPE, SCOPE, type Scope, VALUE_TYPE } from "./spop.ts";
import { encodeValue, type Value } from "./value.ts";
import { encodeVarint, writeVarint } from "./varint.ts";

/** A whole frame, its length in front. The ids default to 0, as HELLO and DISCONNECT have them. */
export function encodeFrame(
  type: number,
  payload: Buffer,
  ids: { readonly streamId: bigint; readonly frameId: bigint } = { streamId: 0n, frameId: 0n },
  flags: number = FLAG_FIN,
): Buffer {
  const head = Buffer.alloc(9);
  const body = [encodeVarint(ids.streamId), encodeVarint(ids.frameId), payload];
  head.writeUInt32BE(5 + body.reduce((sum, part) => sum + part.length, 0));
  head[4] = type;
  head.writeUInt32BE(flags, 5);
  return Buffer.concat([head, ...body]);
}

/** A name or key: its length and its bytes, without a type (SPOE.txt, section 3.1). */
export function encodeName(name: string): Buffer {
  const bytes = Buffer.from(name, "latin1");
  return Buffer.concat([encodeVarint(bytes.length), bytes]);
}

/** A list of keys and typed values, as in HELLO, DISCONNECT and a message's arguments. */
export function encodeList(list: Iterable<readonly [string, Value]>): Buffer {
  return Buffer.concat([...list].flatMap(([key, value]) => [encodeName(key), encodeValue(value)]));
}

/** The payload of a NOTIFY. */
export function encodeMessages(messages: readonly Message[]): Buffer {
  const pairs = (args: readonly Argument[]) => args.map(({ name, value }) => [name, value] as const);
  return Buffer.concat(
    messages.flatMap(({ name, args }) => [encodeName(name), Buffer.of(args.length), encodeList(pairs(args))]),
  );
}

// HAProxy silently ignores a variable whose name has another character, and builds the full name
// `scope.prefix.name` in a buffer of 64 bytes.
const VARIABLE = /^[A-Za-z0-9_.]{1,48}$/;

/**
 * The part of a SET-VAR that is the same for every value: made once, appended often.
 *
 * @throws RangeError for a name that HAProxy would not set
 */
export function encodeSetVar(scope: Scope, name: string): Buffer {
  if (!VARIABLE.test(name)) throw new RangeError(`not a variable name: ${JSON.stringify(name)}`);
  return Buffer.concat([Buffer.of(ACTION_TYPE.setVar, 3, SCOPE[scope]), encodeName(name)]);
}

const FIRST_SIZE = 4096;

/**
 * Gathers the ACKs of one event-loop turn (SPOE.txt, section 3.2.7), so that they leave in one write.
 *
 * The bytes handed out by `take` are never written again, for the socket may still be sending them.
 */
export class AckWriter {
  #bytes = Buffer.allocUnsafeSlow(FIRST_SIZE);
  #at = 0;
  #frame = 0;

  /** Begins an ACK. `ids` are the raw stream-id and frame-id of the NOTIFY, repeated as they came. */
  begin(bytes: Buffer, idsStart: number, idsEnd: number): void {
    this.#frame = this.#at;
    this.#room(9 + idsEnd - idsStart);
    this.#bytes[this.#at + 4] = FRAME_TYPE.ack;
    this.#bytes.writeUInt32BE(FLAG_FIN, this.#at + 5);
    bytes.copy(this.#bytes, this.#at + 9, idsStart, idsEnd);
    this.#at += 9 + idsEnd - idsStart;
  }

  /** Appends actions that were encoded before. */
  append(bytes: Buffer): void {
    this.#room(bytes.length);
    bytes.copy(this.#bytes, this.#at);
    this.#at += bytes.length;
  }

  /** Appends one SET-VAR with a text, as UTF-8. `variable` comes from `encodeSetVar`. */
  setString(variable: Buffer, value: string): void {
    this.append(variable);
    const length = Buffer.byteLength(value);
    this.#room(11 + length);
    this.#bytes[this.#at] = VALUE_TYPE.string;
    this.#at = writeVarint(this.#bytes, this.#at + 1, length);
    this.#at += this.#bytes.write(value, this.#at);
  }

  /** Ends the ACK and returns its size in bytes, length prefix included. */
  finish(): number {
    const size = this.#at - this.#frame;
    this.#bytes.writeUInt32BE(size - 4, this.#frame);
    return size;
  }

  /** Takes back the ACK begun last. */
  abandon(): void {
    this.#at = this.#frame;
  }

  /** Bytes waiting to be taken. */
  get size(): number {
    return this.#at;
  }

  /** Hands over all that was written from the offset on; what lies before it is dropped. */
  take(from: number = 0): Buffer {
    const taken = this.#bytes.subarray(from, this.#at);
    this.#bytes = this.#bytes.subarray(this.#at);
    this.#at = 0;
    return taken;
  }

  #room(size: number): void {
    if (this.#bytes.length - this.#at >= size) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(FIRST_SIZE * 4, (this.#at + size) * 2));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}
