import { createHash } from "node:crypto";
import type { Test } from "tap";
import { listen } from "./listener.ts";

type Field = readonly [name: string, value: string];

/** One request as a backend got it: bytes as text, one character a byte. */
export interface Received {
  /** `GET /v1/orders HTTP/1.1` */
  readonly line: string;
  /** In the order and case they came, none joined. */
  readonly headers: readonly Field[];
  /** What came after the last chunk of a chunked body, in the same form. */
  readonly trailers: readonly Field[];
}

export interface Backend {
  readonly port: number;
  readonly received: readonly Received[];
  /** All values of a header in the last request. */
  last(name: string): readonly string[];
  /** Forgets what it received. */
  forget(): void;
}

const ANSWER =
  "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nl5d-proxy-error: secret\r\nL5D_Client_Id: secret\r\nAccess-Control-Allow-Origin: https://elsewhere.example\r\n\r\nok";
/**
 * A keep-alive HTTP/1.1 backend that keeps what it gets byte for byte and answers 200. It agrees to a WebSocket, and
 * then sends back whatever comes. It ends with the test.
 */
export async function startBackend(t: Test): Promise<Backend> {
  const received: Received[] = [];
  const port = await listen(t, (socket) => {
    let buffered = "";
    let switched = false;
    socket.setEncoding("latin1").on("data", (text: string) => {
      if (switched) {
        socket.write(text, "latin1");
        return;
      }
      buffered += text;
      for (let next = parse(buffered); next !== undefined; next = parse(buffered)) {
        received.push(next.request);
        buffered = next.rest;
        switched = valuesOf(next.request, "upgrade").includes("websocket");
        socket.write(switched ? upgradeAnswer(next.request) : ANSWER);
      }
    });
  });
  return {
    port,
    received,
    last: (name) => {
      const request = received.at(-1);
      return request === undefined ? [] : valuesOf(request, name);
    },
    forget: () => {
      received.length = 0;
    },
  };
}

/** RFC 6455, section 4.2.2; HAProxy checks the proof. */
function upgradeAnswer(request: Received): string {
  const [key = ""] = valuesOf(request, "sec-websocket-key");
  const proof = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  return `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${proof}\r\n\r\n`;
}

function valuesOf({ headers }: Received, name: string): string[] {
  return headers.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value);
}

/** The first request of the text and what stands behind it; undefined until all of it is there. */
function parse(text: string): { readonly request: Received; readonly rest: string } | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [line = "", ...fields] = text.slice(0, end).split("\r\n");
  const request = { line, headers: fields.map(parseField), trailers: [] };
  const rest = text.slice(end + 4);
  return valuesOf(request, "transfer-encoding").includes("chunked") ? parseChunked(request, rest) : { request, rest };
}

/** RFC 9112, section 7.1: chunks, the last of them empty, then the trailers and an empty line. */
function parseChunked(request: Received, text: string): ReturnType<typeof parse> {
  let at = 0;
  for (;;) {
    const sizeEnd = text.indexOf("\r\n", at);
    if (sizeEnd < 0) return undefined;
    const size = Number.parseInt(text.slice(at, sizeEnd), 16);
    if (size === 0) {
      // With no trailer the empty line follows at once.
      const end = text.indexOf("\r\n\r\n", sizeEnd);
      if (end < 0) return undefined;
      const fields = text.slice(sizeEnd + 2, end).split("\r\n");
      const trailers = fields.filter((field) => field !== "").map(parseField);
      return { request: { ...request, trailers }, rest: text.slice(end + 4) };
    }
    at = sizeEnd + 2 + size + 2;
  }
}

function parseField(field: string): Field {
  const colon = field.indexOf(":");
  return [field.slice(0, colon), field.slice(colon + 1).trim()];
}
