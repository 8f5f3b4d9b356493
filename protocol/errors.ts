import { STATUS } from "./spop.ts";

/** Every way in which bytes can be wrong, with the status of the DISCONNECT that answers it (SPOE.txt, section 3.5). */
export const SPOP_ERRORS = {
  FRAME_TOO_BIG: STATUS.tooBig,
  FRAME_TOO_SHORT: STATUS.invalid,
  FRAME_TIMEOUT: STATUS.timeout,
  FRAMES_TOO_MANY: STATUS.resources,
  FRAGMENTED: STATUS.fragmentation,
  VARINT_TRUNCATED: STATUS.invalid,
  VARINT_TOO_LONG: STATUS.invalid,
  VALUE_TYPE_UNKNOWN: STATUS.invalid,
  VALUE_TRUNCATED: STATUS.invalid,
  NAME_TRUNCATED: STATUS.invalid,
  ARGUMENTS_MISSING: STATUS.invalid,
  ACTION_UNKNOWN: STATUS.invalid,
  ACTION_MALFORMED: STATUS.invalid,
  HELLO_EXPECTED: STATUS.invalid,
  HELLO_MALFORMED: STATUS.invalid,
  VERSION_MISSING: STATUS.noVersion,
  VERSION_UNSUPPORTED: STATUS.unsupportedVersion,
  MAX_FRAME_SIZE_MISSING: STATUS.noMaxFrameSize,
  MAX_FRAME_SIZE_BAD: STATUS.badMaxFrameSize,
  CAPABILITIES_MISSING: STATUS.noCapabilities,
  DISCONNECTED: STATUS.normal,
  CONNECTION_CLOSED: STATUS.io,
} as const;

export type SpopErrorCode = keyof typeof SPOP_ERRORS;

/** Broken bytes, or a conversation that broke off. `code` says how, `status` is what a DISCONNECT should say. */
export class SpopError extends Error {
  override readonly name = "SpopError";
  readonly code: SpopErrorCode;
  readonly status: number;

  constructor(code: SpopErrorCode, detail: string = "", status: number = SPOP_ERRORS[code]) {
    super(detail === "" ? code : `${code}: ${detail}`);
    this.code = code;
    this.status = status;
  }
}
