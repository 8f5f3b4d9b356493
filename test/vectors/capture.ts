/**
 * Writes what real HAProxys send to an agent into test/vectors/haproxy-VERSION.json, as hexadecimal text:
 *
 *   npm run setup && node test/vectors/capture.ts
 *
 * Each HAProxy that the set-up has unpacked runs the generated configuration against an agent that only listens
 * and refuses; one health check and one request are enough.
 */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FrameDecoder } from "../../protocol/frame-decoder.ts";
import { encodeAgentHello, readHello } from "../../protocol/handshake.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import { freePort, haproxies } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { filesFor } from "../support/rendered.ts";

const seen: Record<string, string> = {};
const server = createServer((socket) => {
  const decoder = new FrameDecoder(65536);
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    decoder.push(chunk, (frame) => {
      let name = frame.type === FRAME_TYPE.notify ? "notify" : "disconnect";
      if (frame.type === FRAME_TYPE.haproxyHello) {
        const hello = readHello(frame);
        name = hello.healthcheck ? "check" : "hello";
        socket.write(encodeAgentHello({ maxFrameSize: hello.maxFrameSize, pipelining: hello.pipelining }));
      }
      const length = Buffer.alloc(4);
      length.writeUInt32BE(frame.payloadEnd - frame.idsStart + 5);
      seen[name] ??= Buffer.concat([length, frame.bytes.subarray(frame.idsStart - 5, frame.payloadEnd)]).toString("hex");
    });
  });
});
await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
const address = server.address();
if (address === null || typeof address === "string") throw new Error("no port");

for (const binary of haproxies()) {
  for (const name of Object.keys(seen)) delete seen[name];
  const folder = mkdtempSync(join(tmpdir(), "countersign-capture-"));
  const port = await freePort();
  for (const [name, text] of Object.entries(filesFor(binary, `127.0.0.1:${port}`, address.port, 1))) {
    writeFileSync(join(folder, name), text);
  }
  const args = [...binary.prefix, "-f", join(folder, "haproxy.cfg")];
  execFileSync(binary.command, [...args, "-c", "-q"]);
  const child = spawn(binary.command, [...args, "-db"], { stdio: "ignore" });
  while (!("check" in seen)) await new Promise((done) => setTimeout(done, 50));
  const client = await RawClient.open(port);
  await client.request("GET /v1/orders?page=2 HTTP/1.1", ["host: orders.example.com", "authorization: Bearer example"]);
  client.close();
  child.kill("SIGKILL");
  writeFileSync(join(import.meta.dirname, `haproxy-${binary.version}.json`), `${JSON.stringify(seen, null, 2)}\n`);
  rmSync(folder, { recursive: true });
}
server.close();
