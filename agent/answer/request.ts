import { MESSAGE } from "../../haproxy/arguments.ts";
import { parseContract } from "../../haproxy/contract.ts";
import type { CredentialName } from "../../haproxy/credentials.ts";
import type { Reason } from "../../policies/decision.ts";
import type { McpMessage, PolicyRequest } from "../../policies/request.ts";
import type { NotifyCursor } from "../../protocol/decode.ts";
import { SpopError } from "../../protocol/errors.ts";
import type { Frame } from "../../protocol/frame-decoder.ts";
import { BOOL_TRUE, VALUE_TYPE } from "../../protocol/spop.ts";
import { addressText, contentStart } from "../../protocol/value.ts";
import type { Subject } from "../upstream/upstream-tokens.ts";
import { Channel } from "./channel.ts";
import { isCredentialArgument, NOTHING_OFFERED } from "./credentials.ts";
import { mcpMessageOf } from "./mcp.ts";
import { Texts } from "./texts.ts";

/** Largest request id in bytes; HAProxy's unique-id as generated has 32. It bounds the ACK. */
export const LARGEST_ID = 64;

/** Bytes of a `traceparent` of version 00 (W3C Trace Context, section 3.2). */
const TRACEPARENT_LENGTH = 55;

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
  /** The body's content; undefined where HAProxy has read none. */
  body: Buffer | undefined;
  /** What it says to an MCP server, once somebody has asked. */
  message: McpMessage | Reason | undefined;
  traceStart = 0;
  traceEnd = 0;
  /** Where the credentials lie that it offers, as credentials.ts reads them. */
  offered: readonly number[] = NOTHING_OFFERED;
  /** The kind of the one that was taken. */
  credential: CredentialName | undefined;
  /** The credential that was taken, where another token is to be had for it. */
  subject: Subject | undefined;
  /** Whether who sent it had to be found out first. */
  cold = false;
  /** What its client is to use as `nonce` in DPoP proofs from now on, where it has to be told. */
  nonce: string | undefined;
  /** What its browser is to keep as when its session was last seen, where it has to be told. */
  seen: string | undefined;
  /** How its person has to log in anew, sealed, where another login would do. */
  step: string | undefined;
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

  /** What it says to an MCP server, or why that cannot be told; read when it is first asked for. */
  get mcp(): McpMessage | Reason {
    this.message ??= mcpMessageOf(this);
    return this.message;
  }

  /** The `traceparent` that it came with; empty where HAProxy sent none. */
  get trace(): string {
    return this.traceStart === this.traceEnd ? "" : this.bytes.toString("latin1", this.traceStart, this.traceEnd);
  }

  /** The request as it is judged. @param host as normalized by the policies @param time ms since the epoch */
  judged(host: string, time: number): this {
    this.host = host;
    this.time = time;
    return this;
  }

  /** Keeps nothing of the frame but id, address, trace and body, and the credential where it is exchanged. */
  detach(): void {
    if (this.body !== undefined) this.body = Buffer.from(this.body);
    if (this.subject !== undefined) this.subject = copied(this.subject);
    const { bytes, idStart, idEnd, srcStart, srcEnd, traceStart, traceEnd } = this;
    const src = bytes.subarray(srcStart, srcEnd);
    const trace = bytes.subarray(traceStart, traceEnd);
    this.bytes = Buffer.concat([src, trace, bytes.subarray(idStart, idEnd)]);
    this.srcStart = 0;
    this.srcEnd = this.traceStart = src.length;
    this.traceEnd = this.idStart = src.length + trace.length;
    this.idEnd = this.bytes.length;
    this.offered = NOTHING_OFFERED;
  }
}

function copied({ kind, bytes, start, end }: Subject): Subject {
  return { kind, bytes: Buffer.from(bytes.subarray(start, end)), start: 0, end: end - start };
}

const MESSAGE_NAME = Buffer.from(MESSAGE);

/** An argument as this HAProxy sends it, and how it is read. */
interface SentArgument {
  readonly name: string;
  readonly bytes: Buffer;
  readonly read: ReadArgument;
}

/**
 * Reads NOTIFYs of one connection. HAProxy sends the same arguments in the same order every time, so their names are
 * compared with those of the frame before and only looked up when they differ.
 */
export class RequestReader {
  readonly #cursor: NotifyCursor;
  #arguments: SentArgument[] = [];
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
      const { name, read } = this.#argumentAt(index++);
      if (name === "contract") contract = this.#readContract();
      else read(request, cursor);
    }
    if (index !== this.#arguments.length) this.#forgetFrom(index);
    if (!contract || request.idStart === request.idEnd) return false;
    request.channel = this.#channelNow();
    return !cursor.nextMessage();
  }

  /** The current argument; the channel is learned anew when it is not the one expected here. */
  #argumentAt(index: number): SentArgument {
    const known = this.#arguments[index];
    if (known !== undefined && this.#cursor.nameIs(known.bytes)) return known;
    const name = this.#cursor.name();
    const sent = { name, bytes: Buffer.from(name, "latin1"), read: readerOf(name, index) };
    this.#arguments[index] = sent;
    this.#channel = undefined;
    return sent;
  }

  #forgetFrom(index: number): void {
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
      const names = this.#arguments.map(({ name }) => name);
      this.#channel = contract === undefined ? UNKNOWN_CHANNEL : Channel.of(contract, names);
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

/** Reads the current argument. An absent sample is NULL and leaves its field as it is. */
type ReadArgument = (request: AuthorizeRequest, cursor: NotifyCursor) => void;

const HEADER = "h_";
const READERS: ReadonlyMap<string, ReadArgument> = new Map<string, ReadArgument>([
  ["id", readId],
  ["src", readAddress],
  ["tls", readTls],
  ["method", readMethod],
  ["host", readHost],
  ["path", readPath],
  ["query", readQuery],
  ["body", readBody],
  ["trace", readTrace],
]);

/** Arguments of other names are not ours, and skipped. @param index where it stands in the message */
function readerOf(name: string, index: number): ReadArgument {
  if (name.startsWith(HEADER)) return headerReader(name.slice(HEADER.length));
  if (isCredentialArgument(name)) return credentialReader(index);
  return READERS.get(name) ?? (() => {});
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

function readTls(request: AuthorizeRequest, { bytes, valueStart }: NotifyCursor): void {
  request.tls = bytes[valueStart] === BOOL_TRUE;
}

function readMethod(request: AuthorizeRequest, cursor: NotifyCursor): void {
  request.method = textOf(cursor);
}

function readHost(request: AuthorizeRequest, cursor: NotifyCursor): void {
  request.host = textOf(cursor);
}

function readPath(request: AuthorizeRequest, cursor: NotifyCursor): void {
  request.path = textOf(cursor);
}

function readQuery(request: AuthorizeRequest, cursor: NotifyCursor): void {
  request.query = textOf(cursor);
}

/** In the frame's own bytes, until `detach` copies it. */
function readBody(request: AuthorizeRequest, { bytes, valueStart, valueEnd }: NotifyCursor): void {
  if (bytes[valueStart] !== VALUE_TYPE.binary) return;
  request.body = bytes.subarray(contentStart(bytes, valueStart), valueEnd);
}

/** One that is longer is none, and is not kept. */
function readTrace(request: AuthorizeRequest, { bytes, valueStart, valueEnd }: NotifyCursor): void {
  if (bytes[valueStart] !== VALUE_TYPE.string) return;
  const start = contentStart(bytes, valueStart);
  if (valueEnd - start !== TRACEPARENT_LENGTH) return;
  request.traceStart = start;
  request.traceEnd = valueEnd;
}

function credentialReader(index: number): ReadArgument {
  return (request, { bytes, valueStart, valueEnd }) => {
    if (bytes[valueStart] === VALUE_TYPE.null) return;
    const { offered } = request;
    request.offered =
      offered === NOTHING_OFFERED ? [index, valueStart, valueEnd] : [...offered, index, valueStart, valueEnd];
  };
}

function headerReader(header: string): ReadArgument {
  return (request, { bytes, valueStart, valueEnd }) => {
    if (bytes[valueStart] !== VALUE_TYPE.string) return;
    const value = bytes.toString("utf8", contentStart(bytes, valueStart), valueEnd);
    if (request.headers === NO_HEADERS) request.headers = Object.create(null);
    (request.headers as Record<string, string>)[header] = value;
  };
}

const TEXTS = new Texts();

/** A string's content; empty for NULL and every other type. Bytes outside ASCII stay themselves in latin1. */
function textOf({ bytes, valueStart, valueEnd }: NotifyCursor): string {
  return bytes[valueStart] === VALUE_TYPE.string ? TEXTS.of(bytes, contentStart(bytes, valueStart), valueEnd) : "";
}
