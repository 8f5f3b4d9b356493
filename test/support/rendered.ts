import { type HaproxyFiles, renderHaproxy } from "../../haproxy/render.ts";
import { type HaproxyBinary, minorOf } from "./haproxy.ts";

/** The generated files of a HAProxy with one backend, `orders`, and one identity header, `x-auth-subject`. */
export function filesFor(binary: HaproxyBinary, bind: string, agent: number, backend: number): HaproxyFiles {
  return renderHaproxy({
    version: minorOf(binary),
    identityPrefix: "x-auth-",
    bind: [bind],
    scheme: "http",
    client: { from: "connection", trusted: [] },
    spopAddresses: [`127.0.0.1:${agent}`],
    deadline: 400,
    backends: [{ name: "orders", servers: [`127.0.0.1:${backend}`] }],
    uses: { query: false, requestHeaders: [], identityHeaders: [{ name: "x-auth-subject", max: 256 }] },
    largestAck: 1400,
  });
}
