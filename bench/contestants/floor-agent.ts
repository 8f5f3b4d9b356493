/**
 * The least that a Node agent can do: it finds each NOTIFY, copies its ids and its first argument (the request's id)
 * and answers a constant, in one write a read. It believes every byte it gets: it is a yardstick, not an agent.
 * Its one argument is the path of the socket.
 */
import { createServer, type Socket } from "node:net";
import { encodeSetVar } from "../../protocol/encode.ts";
import { type Frame, FrameDecoder } from "../../protocol/frame-decoder.ts";
import { encodeAgentHello, readHello } from "../../protocol/handshake.ts";
import { FLAG_FIN, FRAME_TYPE } from "../../protocol/spop.ts";
import { encodeValue } from "../../protocol/value.ts";
import { skipVarint } from "../../protocol/varint.ts";
import { CONSTANT } from "./constant.ts";

const ID = encodeSetVar("transaction", "id");
const ANSWER = Buffer.concat(
  Object.entries(CONSTANT).map(([name, value]) => {
    return Buffer.concat([encodeSetVar("transaction", name), encodeValue({ type: "string", value })]);
  }),
);

function serve(socket: Socket): void {
  const decoder = new FrameDecoder(16380);
  let acks: Buffer[] = [];
  const onFrame = (frame: Frame) => {
    if (frame.type === FRAME_TYPE.notify) acks.push(ackOf(frame));
    else if (frame.type === FRAME_TYPE.haproxyHello) socket.write(encodeAgentHello(helloOf(frame)));
    else socket.end();
  };
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    decoder.push(chunk, onFrame);
    if (acks.length === 0) return;
    socket.write(acks.length === 1 ? (acks[0] ?? "") : Buffer.concat(acks));
    acks = [];
  });
}

function helloOf(frame: Frame) {
  const { maxFrameSize, pipelining } = readHello(frame);
  return { maxFrameSize, pipelining };
}

function ackOf({ bytes, idsStart, payloadStart, payloadEnd }: Frame): Buffer {
  const { start, end } = firstValue(bytes, payloadStart, payloadEnd);
  const ids = payloadStart - idsStart;
  const size = 9 + ids + ID.length + (end - start) + ANSWER.length;
  const ack = Buffer.allocUnsafe(size);
  ack.writeUInt32BE(size - 4);
  ack[4] = FRAME_TYPE.ack;
  ack.writeUInt32BE(FLAG_FIN, 5);
  bytes.copy(ack, 9, idsStart, payloadStart);
  ID.copy(ack, 9 + ids);
  bytes.copy(ack, 9 + ids + ID.length, start, end);
  ANSWER.copy(ack, size - ANSWER.length);
  return ack;
}

/** Where the first argument's value lies: name of the message, number of arguments, key, then type and length. */
function firstValue(bytes: Buffer, payloadStart: number, payloadEnd: number) {
  const key = payloadStart + 1 + (bytes[payloadStart] as number) + 1;
  const start = key + 1 + (bytes[key] as number);
  const value = skipVarint(bytes, start + 1, payloadEnd);
  return { start, end: value + (bytes[start + 1] as number) };
}

createServer(serve).listen(process.argv[2]);
