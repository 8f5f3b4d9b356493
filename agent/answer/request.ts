import { MESSAGE } from "../../haproxy/arguments.ts";
import { parseContract } from "../../haproxy/contract.ts";
import type { Reason } from "../../policies/decision.ts";
import type { PolicyRequest } from "../../policies/request.ts";
import type { NotifyCursor } from "../../protocol/decode.ts";
import { SpopError } from "../../protocol/errors.ts";
import type { Frame } from "../../protocol/frame-decoder.ts";
import { BOOL_TRUE, VALUE_TYPE } from "../../protocol/spop.ts";
import { addressText, contentStart } from "../../protocol/value.ts";
import { Channel } from "./channel.ts";
import { Texts } from "./texts.ts";

/** Largest request id in bytes; HAProxy's unique-id as generated has 32. It bounds the ACK. */
export const LARGEST_ID = 64;

/** What a channel cannot be learned from serves no route that needs anything. */
const UNKNOWN_CHANNEL = new Channel({ version: 1, variables: [], headers: [] }, []);

const ALWAYS = () => true;
const NO_BYTES = Buffer.alloc(0);
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze(Object.create(null));

/**
 * One NOTIFY as read, which the policies look at, too. What a decision seldom needs stays in the frame's bytes until it
 * is asked for; `detach` copies it for a request that outlives the turn it was read in.
 */
export class AuthorizeRequest implements PolicyRequest {
  channel: Channel = UNKNOWN_CHANNEL;
  /** Why the NOTIFY itself cannot be judged. */
  fault: Reason | undefined;
  tls = false;
  method = "";
  /** As the client sent it, until `judged` has replaced it by the policies' spelling. */
  host = "";
  path = "";
  query = "";
  headers: Readonly<Record<string, string>> = NO_HEADERS;
  /** Milliseconds since the epoch; by `judged`. */
  time = 0;
  /** The frame's. Positions of contents, but of `src` of its typed value; equal where there is none. */
  bytes: Buffer = NO_BYTES;
  idStart = 0;
  idEnd = 0;
  srcStart = 0;
  srcEnd = 0;
  authorizationStart = 0;
  authorizationEnd = 0;
  /** Whether it can still be answered, for work that takes longer than this turn. */
  wanted: () => boolean = ALWAYS;

  /** HAProxy's id of the request. */
  get id(): string {
    return this.bytes.toString("latin1", this.idStart, this.idEnd);
  }

  /** Textual client address; empty where HAProxy sent none. */
  get src(): string {
    return this.srcStart === this.srcEnd ? "" : addressText(this.bytes, this.srcStart, this.srcEnd);
  }

  /** The request as it is judged. @param host as normalized by the policies @param time ms since the epoch */
  judged(host: string, time: number): this {
    this.host = host;
    this.time = time;
    return this;
  }

  /** Keeps nothing of the frame but id and address. */
  detach(): void {
    const { bytes, idStart, idEnd, srcStart, srcEnd } = this;
    const src = bytes.subarray(srcStart, srcEnd);
    this.bytes = Buffer.concat([src, bytes.subarray(idStart, idEnd)]);
    this.srcStart = 0;
    this.srcEnd = this.idStart = src.length;
    this.idEnd = this.bytes.length;
    this.authorizationStart = this.authorizationEnd = 0;
  }
}

const MESSAGE_NAME = Buffer.from(MESSAGE);
const HEADER = "h_";

/**
 * Reads NOTIFYs of one connection. HAProxy sends the same arguments in the same order every time, so their names are
 * compared with those of the frame before and only looked up when they differ.
 */
export class RequestReader {
  readonly #cursor: NotifyCursor;
  #names: Buffer[] = [];
  #arguments: string[] = [];
  #contract: Buffer = Buffer.alloc(0);
  #channel: Channel | undefined;

  constructor(cursor: NotifyCursor) {
    this.#cursor = cursor;
  }

  /**
   * The request in a NOTIFY. A payload that is broken, or is not one `authorize` message with a contract, gives a
   * request with the fault `message-malformed` and as much as was read, the id above all.
   */
  read(frame: Frame): AuthorizeRequest {
    const request = new AuthorizeRequest();
    request.bytes = frame.bytes;
    try {
      this.#cursor.open(frame);
      if (!this.#readMessage(request)) request.fault = "message-malformed";
    } catch (error) {
      if (!(error instanceof SpopError)) throw error;
      request.fault = "message-malformed";
    }
    return request;
  }

  #readMessage(request: AuthorizeRequest): boolean {
    const cursor = this.#cursor;
    if (!cursor.nextMessage() || !cursor.nameIs(MESSAGE_NAME)) return false;
    let index = 0;
    let contract = false;
    while (cursor.nextArgument()) {
      const name = this.#nameAt(index++);
      if (name === "contract") contract = this.#readContract();
      else readArgument(request, name, cursor);
    }
    if (index !== this.#arguments.length) this.#forgetFrom(index);
    if (!contract || request.idStart === request.idEnd) return false;
    request.channel = this.#channelNow();
    return !cursor.nextMessage();
  }

  /** The name of the current argument; the channel is learned anew when it is not the one expected here. */
  #nameAt(index: number): string {
    const known = this.#names[index];
    if (known !== undefined && this.#cursor.nameIs(known)) return this.#arguments[index] as string;
    const name = this.#cursor.name();
    this.#names[index] = Buffer.from(name, "latin1");
    this.#arguments[index] = name;
    this.#channel = undefined;
    return name;
  }

  #forgetFrom(index: number): void {
    this.#names.length = index;
    this.#arguments.length = index;
    this.#channel = undefined;
  }

  #readContract(): boolean {
    const { bytes, valueStart, valueEnd } = this.#cursor;
    if (bytes[valueStart] !== VALUE_TYPE.string) return false;
    const start = contentStart(bytes, valueStart);
    if (!isSame(bytes, start, valueEnd, this.#contract)) {
      this.#contract = Buffer.from(bytes.subarray(start, valueEnd));
      this.#channel = undefined;
    }
    return true;
  }

  #channelNow(): Channel {
    if (this.#channel === undefined) {
      const contract = parseContract(this.#contract.toString("latin1"));
      this.#channel = contract === undefined ? UNKNOWN_CHANNEL : Channel.of(contract, this.#arguments);
    }
    return this.#channel;
  }
}

/** As NotifyCursor.nameIs: a loop is faster than a call out of JavaScript. */
function isSame(bytes: Buffer, start: number, end: number, other: Buffer): boolean {
  if (end - start !== other.length) return false;
  for (let i = 0; i < other.length; i++) if (bytes[start + i] !== other[i]) return false;
  return true;
}

/** An absent sample is NULL and leaves its field as it is; arguments of other names are not ours, and skipped. */
function readArgument(request: AuthorizeRequest, name: string, cursor: NotifyCursor): void {
  const { bytes, valueStart, valueEnd } = cursor;
  switch (name) {
    case "src":
      readAddress(request, cursor);
      return;
    case "tls":
      request.tls = bytes[valueStart] === BOOL_TRUE;
      return;
    case "id":
      readId(request, cursor);
      return;
    case "method":
      request.method = text(bytes, valueStart, valueEnd) ?? "";
      return;
    case "host":
      request.host = text(bytes, valueStart, valueEnd) ?? "";
      return;
    case "path":
      request.path = text(bytes, valueStart, valueEnd) ?? "";
      return;
    case "query":
      request.query = text(bytes, valueStart, valueEnd) ?? "";
      return;
    case "authorization":
      if (bytes[valueStart] !== VALUE_TYPE.string) return;
      request.authorizationStart = contentStart(bytes, valueStart);
      request.authorizationEnd = valueEnd;
      return;
    default:
      if (name.startsWith(HEADER)) readHeader(request, name.slice(HEADER.length), cursor);
  }
}

/** An id that is too long is none: it would not fit into the answer. */
function readId(request: AuthorizeRequest, { bytes, valueStart, valueEnd }: NotifyCursor): void {
  const start = contentStart(bytes, valueStart);
  if (bytes[valueStart] !== VALUE_TYPE.string || valueEnd - start > LARGEST_ID) return;
  request.idStart = start;
  request.idEnd = valueEnd;
}

function readAddress(request: AuthorizeRequest, { bytes, valueStart, valueEnd }: NotifyCursor): void {
  const type = (bytes[valueStart] as number) & 0x0f;
  if (type !== VALUE_TYPE.ipv4 && type !== VALUE_TYPE.ipv6) return;
  request.srcStart = valueStart;
  request.srcEnd = valueEnd;
}

function readHeader(request: AuthorizeRequest, name: string, cursor: NotifyCursor): void {
  const { bytes, valueStart, valueEnd } = cursor;
  if (bytes[valueStart] !== VALUE_TYPE.string) return;
  const value = bytes.toString("utf8", contentStart(bytes, valueStart), valueEnd);
  if (request.headers === NO_HEADERS) request.headers = Object.create(null);
  (request.headers as Record<string, string>)[name] = value;
}

const TEXTS = new Texts();

/** A string's content; `undefined` for NULL and every other type. Bytes outside ASCII stay themselves in latin1. */
function text(bytes: Buffer, at: number, end: number): string | undefined {
  return bytes[at] === VALUE_TYPE.string ? TEXTS.of(bytes, contentStart(bytes, at), end) : undefined;
}
