import { connect, type Socket } from "node:net";

const ADDRESS = "127.0.0.1";
/** Connections that ask for as much as can be sent, anew whenever they are closed, and such that stop in mid request. */
const GREEDY = 16;
const HALVES = 128;
const PIPELINED = "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3000);
const HALF = "GET /status HTTP/1.1\r\nhost:";

/** Floods an admin listener for so many seconds, in the ways that cost it most. */
export async function floodAdmin(port: number, seconds: number): Promise<void> {
  const open = new Set<Socket>();
  let over = false;
  const keep = (text: string) => {
    if (over) return;
    const socket = connect(port, ADDRESS, () => socket.write(text));
    open.add(socket);
    socket.resume().on("error", () => {});
    socket.once("close", () => {
      open.delete(socket);
      setImmediate(keep, text);
    });
  };
  for (let i = 0; i < GREEDY; i++) keep(PIPELINED);
  for (let i = 0; i < HALVES; i++) keep(HALF);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  over = true;
  for (const socket of open) socket.destroy();
}
