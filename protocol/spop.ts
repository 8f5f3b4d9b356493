/** The tables of the Stream Processing Offload Protocol 2.0 (HAProxy's doc/SPOE.txt, section 3). */

/** SPOE.txt, section 3.2.2 */
export const FRAME_TYPE = {
  unset: 0,
  haproxyHello: 1,
  haproxyDisconnect: 2,
  notify: 3,
  agentHello: 101,
  agentDisconnect: 102,
  ack: 103,
} as const;

/** The flag of a frame that is whole (SPOE.txt, section 3.2). */
export const FLAG_FIN = 0x1;

/** Low nibble of a typed value; the high nibble holds flags (SPOE.txt, section 3.1). */
export const VALUE_TYPE = {
  null: 0,
  bool: 1,
  int32: 2,
  uint32: 3,
  int64: 4,
  uint64: 5,
  ipv4: 6,
  ipv6: 7,
  string: 8,
  binary: 9,
} as const;

/** A boolean is true only as exactly this byte: HAProxy reads 0x21 and 0x31 as false. */
export const BOOL_TRUE = 0x11;

/** SPOE.txt, section 3.4 */
export const ACTION_TYPE = { setVar: 1, unsetVar: 2 } as const;

export const SCOPE = { process: 0, session: 1, transaction: 2, request: 3, response: 4 } as const;
export type Scope = keyof typeof SCOPE;

/** Status codes of a DISCONNECT (SPOE.txt, section 3.5). */
export const STATUS = {
  normal: 0,
  io: 1,
  timeout: 2,
  tooBig: 3,
  invalid: 4,
  noVersion: 5,
  noMaxFrameSize: 6,
  noCapabilities: 7,
  unsupportedVersion: 8,
  badMaxFrameSize: 9,
  fragmentation: 10,
  interlaced: 11,
  frameIdNotFound: 12,
  resources: 13,
  unknown: 99,
} as const;

/** Bytes of the length in front of a frame, which its own size does not count. HAProxy offers tune.bufsize without them. */
export const LENGTH_PREFIX = 4;

/** Smallest legal frame after its length: type, flags and two ids of a byte each. */
export const SMALLEST_FRAME = 7;

/** Below this a max-frame-size is refused (SPOE.txt, section 3.2.4). */
export const SMALLEST_MAX_FRAME_SIZE = 256;
