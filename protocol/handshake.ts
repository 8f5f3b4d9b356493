import { decodeList } from "./decode.ts";
import { encodeFrame, encodeList } from "./encode.ts";
import { SpopError } from "./errors.ts";
import type { Frame } from "./frame-decoder.ts";
import { FRAME_TYPE, SMALLEST_MAX_FRAME_SIZE, STATUS } from "./spop.ts";
import type { Value } from "./value.ts";

export const VERSION = "2.0";

/** What a HAPROXY-HELLO says (SPOE.txt, section 3.2.4). */
export interface Hello {
  /** In bytes, as offered. */
  readonly maxFrameSize: number;
  readonly pipelining: boolean;
  /** True for a health check: HAProxy closes after the answer. */
  readonly healthcheck: boolean;
  readonly engineId: string;
}

/** Reads and judges a HAPROXY-HELLO. @throws SpopError with the status that the spec names for what is wrong */
export function readHello(frame: Frame): Hello {
  if (frame.type !== FRAME_TYPE.haproxyHello) throw new SpopError("HELLO_EXPECTED", `frame type ${frame.type}`);
  const list = decodeList(frame);
  const versions = text(list, "supported-versions", "VERSION_MISSING")
    .split(",")
    .map((version) => version.trim());
  // Of a major version the highest minor one is listed, which implies those before it: any 2.x speaks 2.0.
  if (!versions.some((version) => /^2\.\d+$/.test(version))) throw new SpopError("VERSION_UNSUPPORTED");
  const capabilities = text(list, "capabilities", "CAPABILITIES_MISSING")
    .split(",")
    .map((name) => name.trim());
  const healthcheck = list.get("healthcheck");
  const engineId = list.get("engine-id");
  return {
    maxFrameSize: maxFrameSize(list),
    pipelining: capabilities.includes("pipelining"),
    healthcheck: healthcheck?.type === "bool" && healthcheck.value,
    engineId: engineId?.type === "string" ? engineId.value : "",
  };
}

function text(
  list: ReadonlyMap<string, Value>,
  key: string,
  missing: "VERSION_MISSING" | "CAPABILITIES_MISSING",
): string {
  const value = list.get(key);
  if (value === undefined) throw new SpopError(missing);
  if (value.type !== "string") throw new SpopError("HELLO_MALFORMED", `${key} is a ${value.type}`);
  return value.value;
}

function maxFrameSize(list: ReadonlyMap<string, Value>): number {
  const value = list.get("max-frame-size");
  if (value === undefined) throw new SpopError("MAX_FRAME_SIZE_MISSING");
  if (typeof value.value !== "bigint") throw new SpopError("HELLO_MALFORMED", `max-frame-size is a ${value.type}`);
  if (value.value < SMALLEST_MAX_FRAME_SIZE) throw new SpopError("MAX_FRAME_SIZE_BAD", String(value.value));
  return value.value > 0xffff_ffffn ? 0xffff_ffff : Number(value.value);
}

/**
 * An AGENT-HELLO (SPOE.txt, section 3.2.5). All three items are always there: a health check of HAProxy 3.1 and later
 * insists on the capabilities. It must reach the socket in one write, or HAProxy 3.1 and later misreads it.
 */
export function encodeAgentHello(answer: { readonly maxFrameSize: number; readonly pipelining: boolean }): Buffer {
  const payload = encodeList([
    ["version", { type: "string", value: VERSION }],
    ["max-frame-size", { type: "uint32", value: BigInt(answer.maxFrameSize) }],
    ["capabilities", { type: "string", value: answer.pipelining ? "pipelining" : "" }],
  ]);
  return encodeFrame(FRAME_TYPE.agentHello, payload);
}

/** A DISCONNECT of either side (SPOE.txt, sections 3.2.8 and 3.2.9). */
export function encodeDisconnect(side: "agent" | "haproxy", status: number, message: string): Buffer {
  const payload = encodeList([
    ["status-code", { type: "uint32", value: BigInt(status) }],
    ["message", { type: "string", value: message }],
  ]);
  return encodeFrame(side === "agent" ? FRAME_TYPE.agentDisconnect : FRAME_TYPE.haproxyDisconnect, payload);
}

/** What a DISCONNECT says; keys that we do not know are ignored. @throws SpopError where its payload is broken */
export function readDisconnect(frame: Frame): { readonly status: number; readonly message: string } {
  const list = decodeList(frame);
  const status = list.get("status-code");
  const message = list.get("message");
  return {
    status: typeof status?.value === "bigint" ? Number(status.value) : STATUS.unknown,
    message: message?.type === "string" ? message.value.slice(0, 128) : "",
  };
}
