import { MESSAGE } from "../haproxy/arguments.ts";
import { parseContract } from "../haproxy/contract.ts";
import type { Reason } from "../policies/decision.ts";
import type { PolicyRequest } from "../policies/request.ts";
import type { NotifyCursor } from "../protocol/decode.ts";
import { SpopError } from "../protocol/errors.ts";
import type { Frame } from "../protocol/frame-decoder.ts";
import { BOOL_TRUE, VALUE_TYPE } from "../protocol/spop.ts";
import { addressText, contentStart } from "../protocol/value.ts";
import { Channel } from "./channel.ts";

/** Largest request id in bytes; HAProxy's unique-id as generated has 32. It bounds the ACK. */
export const LARGEST_ID = 64;

/** What a channel cannot be learned from serves no route that needs anything. */
const UNKNOWN_CHANNEL = new Channel({ version: 1, variables: [], headers: [] }, []);

/** One NOTIFY as read: everything in it that a decision needs, copied out of the frame. */
export class AuthorizeRequest {
  channel: Channel = UNKNOWN_CHANNEL;
  /** Why the NOTIFY itself cannot be judged. */
  fault: Reason | undefined;
  id = "";
  src = "";
  tls = false;
  method = "";
  /** As the client sent it. */
  host = "";
  path = "";
  query = "";
  /** A view on the frame, so only for as long as the frame is. */
  authorization: Buffer | undefined;
  headers: Record<string, string> = Object.create(null);

  /** The policies' view of the request. @param host as normalized by the policies @param time ms since the epoch */
  forPolicies(host: string, time: number): PolicyRequest {
    const { method, path, query, src, tls, headers } = this;
    return { method, host, path, query, src, tls, headers, time };
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
    if (!contract || request.id === "" || request.id.length > LARGEST_ID) return false;
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
    if (bytes.compare(this.#contract, 0, this.#contract.length, start, valueEnd) !== 0) {
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

/** An absent sample is NULL and leaves its field as it is; arguments of other names are not ours, and skipped. */
function readArgument(request: AuthorizeRequest, name: string, cursor: NotifyCursor): void {
  const { bytes, valueStart, valueEnd } = cursor;
  switch (name) {
    case "src":
      request.src = address(bytes, valueStart, valueEnd);
      return;
    case "tls":
      request.tls = bytes[valueStart] === BOOL_TRUE;
      return;
    case "id":
    case "method":
    case "host":
    case "path":
    case "query":
      request[name] = text(bytes, valueStart, valueEnd, "latin1") ?? "";
      return;
    case "authorization":
      if (bytes[valueStart] === VALUE_TYPE.string) {
        request.authorization = bytes.subarray(contentStart(bytes, valueStart), valueEnd);
      }
      return;
    default:
      if (name.startsWith(HEADER)) readHeader(request, name.slice(HEADER.length), cursor);
  }
}

function readHeader(request: AuthorizeRequest, name: string, cursor: NotifyCursor): void {
  const value = text(cursor.bytes, cursor.valueStart, cursor.valueEnd, "utf8");
  if (value !== undefined) request.headers[name] = value;
}

/** A string's content; `undefined` for NULL and every other type. Bytes outside ASCII stay themselves in latin1. */
function text(bytes: Buffer, at: number, end: number, encoding: "latin1" | "utf8"): string | undefined {
  return bytes[at] === VALUE_TYPE.string ? bytes.toString(encoding, contentStart(bytes, at), end) : undefined;
}

function address(bytes: Buffer, at: number, end: number): string {
  const type = (bytes[at] as number) & 0x0f;
  return type === VALUE_TYPE.ipv4 || type === VALUE_TYPE.ipv6 ? addressText(bytes, at, end) : "";
}
