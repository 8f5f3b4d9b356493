import { SpopError } from "./errors.ts";
import type { Frame } from "./frame-decoder.ts";
import { ACTION_TYPE, SCOPE, type Scope } from "./spop.ts";
import { decodeValue, skipValue, type Value } from "./value.ts";
import { skipVarint, varintToNumber } from "./varint.ts";

/**
 * Walks a NOTIFY's payload (SPOE.txt, section 3.2.6) without decoding what nobody asks for: it moves over the frame's
 * bytes and says where each name and value lies. One object serves any number of frames.
 */
export class NotifyCursor {
  bytes: Buffer = Buffer.alloc(0);
  nameStart = 0;
  nameEnd = 0;
  /** Where the argument's typed value begins (its type byte) and ends. */
  valueStart = 0;
  valueEnd = 0;
  #at = 0;
  #end = 0;
  #arguments = 0;

  /** Starts over at the beginning of the frame's payload. */
  open(frame: Frame): void {
    this.bytes = frame.bytes;
    this.#at = frame.payloadStart;
    this.#end = frame.payloadEnd;
    this.#arguments = 0;
  }

  /** Moves to the next message; arguments not looked at are skipped, and checked. @throws SpopError */
  nextMessage(): boolean {
    while (this.nextArgument());
    if (this.#at === this.#end) return false;
    this.#name();
    if (this.#at >= this.#end) throw new SpopError("ARGUMENTS_MISSING");
    this.#arguments = this.bytes[this.#at++] as number;
    return true;
  }

  /** Moves to the message's next argument. @throws SpopError where the payload is cut off or malformed */
  nextArgument(): boolean {
    if (this.#arguments === 0) return false;
    this.#arguments--;
    this.#name();
    this.valueStart = this.#at;
    this.valueEnd = this.#at = skipValue(this.bytes, this.#at, this.#end);
    return true;
  }

  /**
   * Whether the current name is exactly these bytes. Names are short: a loop takes some 50 ns where Buffer.compare,
   * with its checks and its call out of JavaScript, takes 600.
   */
  nameIs(name: Uint8Array): boolean {
    const { bytes, nameStart } = this;
    if (name.length !== this.nameEnd - nameStart) return false;
    for (let i = 0; i < name.length; i++) if (name[i] !== bytes[nameStart + i]) return false;
    return true;
  }

  name(): string {
    return this.bytes.toString("latin1", this.nameStart, this.nameEnd);
  }

  #name(): void {
    const start = skipVarint(this.bytes, this.#at, this.#end);
    const end = start + varintToNumber(this.bytes, this.#at, start);
    if (end > this.#end) throw new SpopError("NAME_TRUNCATED");
    this.nameStart = start;
    this.nameEnd = this.#at = end;
  }
}

export interface Argument {
  /** Empty for an argument that the configuration does not name. */
  readonly name: string;
  readonly value: Value;
}

export interface Message {
  readonly name: string;
  readonly args: readonly Argument[];
}

/** All messages of a NOTIFY, in full; for tools and tests. @throws SpopError */
export function decodeNotify(frame: Frame): readonly Message[] {
  const cursor = new NotifyCursor();
  cursor.open(frame);
  const messages: Message[] = [];
  while (cursor.nextMessage()) {
    const name = cursor.name();
    const args: Argument[] = [];
    while (cursor.nextArgument()) {
      args.push({ name: cursor.name(), value: decodeValue(cursor.bytes, cursor.valueStart, cursor.valueEnd) });
    }
    messages.push({ name, args });
  }
  return messages;
}

/** The key-value list of a HELLO or DISCONNECT (SPOE.txt, sections 3.2.4 and 3.2.8). @throws SpopError */
export function decodeList(frame: Frame): ReadonlyMap<string, Value> {
  const { bytes, payloadEnd: end } = frame;
  const list = new Map<string, Value>();
  let at = frame.payloadStart;
  while (at < end) {
    const start = skipVarint(bytes, at, end);
    const valueStart = start + varintToNumber(bytes, at, start);
    if (valueStart > end) throw new SpopError("NAME_TRUNCATED");
    at = skipValue(bytes, valueStart, end);
    list.set(bytes.toString("latin1", start, valueStart), decodeValue(bytes, valueStart, at));
  }
  return list;
}

export interface Action {
  readonly action: "set" | "unset";
  readonly scope: Scope;
  readonly name: string;
  /** NULL for `unset`. */
  readonly value: Value;
}

const SCOPES = Object.entries(SCOPE).map(([name]) => name as Scope);

/** The actions of an ACK (SPOE.txt, section 3.4). @throws SpopError */
export function decodeActions(frame: Frame): readonly Action[] {
  const { bytes, payloadEnd: end } = frame;
  const actions: Action[] = [];
  let at = frame.payloadStart;
  while (at < end) {
    if (end - at < 4) throw new SpopError("ACTION_MALFORMED");
    const set = bytes[at] === ACTION_TYPE.setVar;
    if (!set && bytes[at] !== ACTION_TYPE.unsetVar) throw new SpopError("ACTION_UNKNOWN", String(bytes[at]));
    const scope = SCOPES[bytes[at + 2] as number];
    if (bytes[at + 1] !== (set ? 3 : 2) || scope === undefined) throw new SpopError("ACTION_MALFORMED");
    const start = skipVarint(bytes, at + 3, end);
    const nameEnd = start + varintToNumber(bytes, at + 3, start);
    if (nameEnd > end) throw new SpopError("NAME_TRUNCATED");
    at = set ? skipValue(bytes, nameEnd, end) : nameEnd;
    const value: Value = set ? decodeValue(bytes, nameEnd, at) : { type: "null" };
    actions.push({ action: set ? "set" : "unset", scope, name: bytes.toString("latin1", start, nameEnd), value });
  }
  return actions;
}
