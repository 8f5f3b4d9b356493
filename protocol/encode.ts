import type { Argument, Message } from "./decode.ts";
import { ACTION_TYPE, FLAG_FIN, FRAME_TYPE, LENGTH_PREFIX, SCOPE, type Scope, VALUE_TYPE } from "./spop.ts";
import { encodeValue, type Value } from "./value.ts";
import { encodeVarint, LONGEST_VARINT, writeVarint } from "./varint.ts";

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

/** Most arguments of a message: their number is one byte. */
const MOST_ARGUMENTS = 255;

/** The payload of a NOTIFY. @throws RangeError for more than 255 arguments, which HAProxy counts anew from 0 */
export function encodeMessages(messages: readonly Message[]): Buffer {
  return Buffer.concat(messages.flatMap(({ name, args }) => [encodeName(name), encodeArguments(args)]));
}

function encodeArguments(args: readonly Argument[]): Buffer {
  if (args.length > MOST_ARGUMENTS) throw new RangeError(`${args.length} arguments are more than ${MOST_ARGUMENTS}`);
  const pairs = args.map(({ name, value }) => [name, value] as const);
  return Buffer.concat([Buffer.of(args.length), encodeList(pairs)]);
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

/** Bytes of a SET-VAR whose value is a text of `value` bytes, at most: the text's length is counted as three. */
export function largestSetVar(name: string, value: number): number {
  return 3 + 1 + name.length + 1 + 3 + value;
}

/** Bytes before the payload of a frame, at most: length, type, flags, and its two ids. */
export const LARGEST_HEAD = LENGTH_PREFIX + 1 + 4 + 2 * LONGEST_VARINT;

/** Bytes that an AckWriter takes at a time: some forty ordinary ACKs. */
const CHUNK = 16384;

/** UTF-8 takes at most three bytes for a unit of a JavaScript string, so a text this long has a length of one byte. */
const LONGEST_SHORT_TEXT = 79;

/**
 * Gathers the ACKs of one event-loop turn (SPOE.txt, section 3.2.7), so that they leave in one write.
 *
 * The bytes handed out by `take` are never written again, for the socket may still be sending them.
 */
export class AckWriter {
  #bytes = Buffer.alloc(0);
  /** Where what was not yet taken begins, where the ACK begun last does, and where it goes on. */
  #start = 0;
  #frame = 0;
  #at = 0;

  /** Begins an ACK. `ids` are the raw stream-id and frame-id of the NOTIFY, repeated as they came. */
  begin(bytes: Uint8Array, idsStart: number, idsEnd: number): void {
    this.#room(9 + idsEnd - idsStart);
    this.#frame = this.#at;
    const target = this.#bytes;
    target[this.#frame + 4] = FRAME_TYPE.ack;
    target.writeUInt32BE(FLAG_FIN, this.#frame + 5);
    let at = this.#frame + 9;
    for (let i = idsStart; i < idsEnd; i++) target[at++] = bytes[i] as number;
    this.#at = at;
  }

  /** Appends actions that were encoded before. */
  append(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#append(bytes);
  }

  /** Appends one SET-VAR with a text, as UTF-8. `variable` comes from `encodeSetVar`. */
  setString(variable: Uint8Array, value: string): void {
    this.#room(variable.length + 1 + LONGEST_VARINT + 3 * value.length);
    this.#append(variable);
    this.#bytes[this.#at] = VALUE_TYPE.string;
    if (value.length > LONGEST_SHORT_TEXT) {
      const text = writeVarint(this.#bytes, this.#at + 1, Buffer.byteLength(value));
      this.#at = text + this.#bytes.write(value, text);
    } else {
      // The length is known once the text is written: asking for it first costs as much as writing.
      const length = this.#bytes.write(value, this.#at + 2);
      this.#bytes[this.#at + 1] = length;
      this.#at += 2 + length;
    }
  }

  /** Appends one SET-VAR with a text that is bytes already, fewer than 240 of them. */
  setText(variable: Uint8Array, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.#room(variable.length + 2 + length);
    this.#append(variable);
    const target = this.#bytes;
    let at = this.#at;
    target[at++] = VALUE_TYPE.string;
    target[at++] = length;
    for (let i = start; i < end; i++) target[at++] = bytes[i] as number;
    this.#at = at;
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
    return this.#at - this.#start;
  }

  /** Hands over all that was written from the offset on; what lies before it is dropped. */
  take(from: number = 0): Buffer {
    const taken = this.#bytes.subarray(this.#start + from, this.#at);
    this.#start = this.#at;
    return taken;
  }

  // Half the time of Buffer.copy, at every length of an action.
  #append(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #room(size: number): void {
    if (this.#bytes.length - this.#at >= size) return;
    const waiting = this.#bytes.subarray(this.#start, this.#at);
    const larger = Buffer.allocUnsafeSlow(Math.max(CHUNK, 2 * (waiting.length + size)));
    larger.set(waiting);
    this.#bytes = larger;
    this.#frame -= this.#start;
    this.#at -= this.#start;
    this.#start = 0;
  }
}
