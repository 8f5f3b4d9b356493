import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate } from "node:zlib";
import { FetchError } from "./fetch-error.ts";

/**
 * The body of an answer, decompressed. The size is counted while reading: a Content-Length may be absent or a lie, a
 * compressed body may be a bomb.
 *
 * @param maxSize largest body in bytes, as it is sent and once it is decompressed
 * @throws {Error} where it is larger, ends too soon or cannot be decompressed
 */
export async function readBody(response: IncomingMessage, maxSize: number): Promise<Buffer> {
  const decompress = decompression(response.headers["content-encoding"]);
  const tooLarge = new FetchError(`the body is larger than ${maxSize} bytes`);
  if (Number(response.headers["content-length"] ?? 0) > maxSize) throw tooLarge;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxSize) throw tooLarge;
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks, size);
  if (decompress === undefined) return body;
  return decompress(body, { maxOutputLength: maxSize }).catch((error: Error) => {
    throw "code" in error && error.code === "ERR_BUFFER_TOO_LARGE"
      ? tooLarge
      : new FetchError("the body is not compressed as it says");
  });
}

const DECOMPRESSIONS: ReadonlyMap<string, (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>> =
  new Map([
    ["gzip", promisify(gunzip)],
    ["x-gzip", promisify(gunzip)],
    ["deflate", promisify(inflate)],
    ["br", promisify(brotliDecompress)],
  ]);

/** Some compress although none is asked for (RFC 9110, section 8.4.1). */
function decompression(encoding = "identity") {
  const decompress = DECOMPRESSIONS.get(encoding.toLowerCase());
  if (decompress === undefined && encoding.toLowerCase() !== "identity")
    throw new FetchError("the body is compressed in a way that is not known");
  return decompress;
}
