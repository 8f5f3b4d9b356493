import type { Socket } from "node:net";
import type { Test } from "tap";
import { decodeNotify } from "../../protocol/decode.ts";
import { encodeName } from "../../protocol/encode.ts";
import { type Frame, FrameDecoder } from "../../protocol/frame-decoder.ts";
import { encodeAgentHello, type Hello, readHello } from "../../protocol/handshake.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import { encodeValue, type Value } from "../../protocol/value.ts";
import { listen } from "./listener.ts";

/** What a misbehaving agent knows of the NOTIFY it was sent. */
export interface Asked {
  readonly streamId: bigint;
  readonly frameId: bigint;
  /** The request id that HAProxy wants back. */
  readonly id: string;
  /** The arguments that are texts, by their names. */
  readonly told: ReadonlyMap<string, string>;
}

type Greet = (hello: Hello, socket: Socket) => void;

const greetWell: Greet = ({ maxFrameSize, pipelining }, socket) => {
  socket.write(encodeAgentHello({ maxFrameSize, pipelining }));
};

/** An agent that answers a NOTIFY, and a HELLO if need be, as the test says. It ends with the test. */
export async function startRogue(
  t: Test,
  answer: (asked: Asked, socket: Socket) => void,
  greet: Greet = greetWell,
): Promise<number> {
  return listen(t, (socket) => talk(socket, answer, greet));
}

/** The agent's side of one connection. */
export function talk(socket: Socket, answer: (asked: Asked, socket: Socket) => void, greet: Greet = greetWell): void {
  const decoder = new FrameDecoder(65536);
  socket.on("data", (chunk: Buffer) => decoder.push(chunk, (frame) => reply(frame, socket, answer, greet)));
}

function reply(frame: Frame, socket: Socket, answer: (asked: Asked, socket: Socket) => void, greet: Greet): void {
  if (frame.type === FRAME_TYPE.haproxyHello) greet(readHello(frame), socket);
  else if (frame.type === FRAME_TYPE.notify) {
    const args = decodeNotify(frame)[0]?.args ?? [];
    const told = new Map(args.flatMap(({ name, value }) => (value.type === "string" ? [[name, value.value]] : [])));
    answer({ streamId: frame.streamId, frameId: frame.frameId, id: told.get("id") ?? "", told }, socket);
  }
}

/** SET-VAR actions of the txn scope, in order. */
export function actions(list: readonly (readonly [string, string])[]): Buffer {
  const value = (text: string): Value => ({ type: "string", value: text });
  return Buffer.concat(
    list.flatMap(([name, text]) => [Buffer.of(1, 3, 2), encodeName(name), encodeValue(value(text))]),
  );
}
