import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

let endpoint: Promise<string> | undefined;

/** Where spans go: a collector that reads them and keeps none, one for all. */
export function collector(): Promise<string> {
  endpoint ??= listening();
  return endpoint;
}

async function listening(): Promise<string> {
  const server = createServer((request, response) => {
    request.resume().once("end", () => response.setHeader("content-type", "application/json").end("{}"));
  });
  server.listen(0, "127.0.0.1").unref();
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`;
}
