import { once } from "node:events";
import { connect } from "node:net";

/** A header field of HTTP/2 as it goes onto the wire, pseudo-header fields too: nothing is checked or put in order. */
export type RawField = readonly [name: string, value: string];

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const TYPE = { headers: 1, reset: 3, settings: 4, goaway: 7 } as const;
const END_STREAM_AND_HEADERS = 0x5;
/** RFC 7541, appendix A: the statuses that have an index of their own. */
const STATUSES: Readonly<Record<number, number>> = {
  136: 200,
  137: 204,
  138: 206,
  139: 304,
  140: 400,
  141: 404,
  142: 500,
};

/**
 * One request without a body on an HTTP/2 connection of its own, which may break every rule of RFC 9113.
 *
 * @returns the answer's status; undefined where the stream or the connection was ended instead
 */
export async function requestRaw(port: number, fields: readonly RawField[]): Promise<number | undefined> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const block = Buffer.concat(fields.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
  socket.write(
    Buffer.concat([
      Buffer.from(PREFACE),
      frame(TYPE.settings, 0, 0, Buffer.alloc(0)),
      frame(TYPE.headers, END_STREAM_AND_HEADERS, 1, block),
    ]),
  );
  try {
    let buffered: Buffer = Buffer.alloc(0);
    for await (const chunk of socket) {
      buffered = Buffer.concat([buffered, chunk as Buffer]);
      while (buffered.length >= 9 && buffered.length >= 9 + buffered.readUIntBE(0, 3)) {
        const end = 9 + buffered.readUIntBE(0, 3);
        const type = buffered[3];
        if (type === TYPE.headers) return statusOf(buffered.subarray(9, end));
        if (type === TYPE.reset || type === TYPE.goaway) return undefined;
        buffered = buffered.subarray(end);
      }
    }
    return undefined;
  } catch {
    return undefined; // HAProxy closed with a reset.
  } finally {
    socket.destroy();
  }
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A literal without Huffman coding (RFC 7541, section 5.2). */
function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.of(...length, rest), bytes]);
}

/** `:status` comes first, by its index or as a literal, behind what changes the size of the table. */
function statusOf(block: Buffer): number {
  const at = block.findIndex((byte) => (byte & 0xe0) !== 0x20);
  return STATUSES[block[at] ?? 0] ?? Number(block.subarray(at + 2, at + 5).toString());
}
