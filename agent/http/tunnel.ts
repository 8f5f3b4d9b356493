import { type Agent, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { Socket } from "node:net";

/** How a request is made. */
export interface RequestOptions {
  /** What keeps the connection; false where it is the request's own. */
  readonly agent: Agent | false;
  /** Ends it, whatever it is waiting for. */
  readonly signal: AbortSignal;
  /** Bytes. */
  readonly maxHeaderSize: number;
}

/**
 * A connection to an https address through a proxy (CONNECT, RFC 9110, section 9.3.6), on which TLS is yet to begin.
 *
 * @throws {Error} that names the proxy, but neither user nor password
 */
export function openTunnel(to: URL, proxy: URL, options: RequestOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const failed = (what: string) => reject(new Error(`the proxy ${proxy.host}: ${what}`));
    const target = `${to.hostname}:${to.port === "" ? 443 : to.port}`;
    const request = (proxy.protocol === "https:" ? requestHttps : requestHttp)({
      ...options,
      method: "CONNECT",
      host: proxy.hostname.replace(/^\[|\]$/g, ""),
      port: proxy.port === "" ? undefined : proxy.port,
      path: target,
      rejectUnauthorized: true,
      headers: { host: target, "user-agent": "countersign", ...authorization(proxy) },
    });
    request.once("connect", ({ statusCode = 0 }, socket, early) => {
      // Whoever uses it is told by TLS; without a listener it would end the process.
      socket.on("error", () => {});
      if (early.length > 0) socket.unshift(early);
      if (statusCode >= 200 && statusCode < 300) return resolve(socket);
      socket.destroy();
      failed(`status ${statusCode} instead of 200`);
    });
    request.once("upgrade", (_response, socket) => {
      socket.destroy();
      failed("status 101 instead of 200");
    });
    request.on("error", (error) => failed(error.message === "" ? error.name : error.message));
    request.once("close", () => failed("the connection ended without an answer"));
    request.end();
  });
}

function authorization({ username, password }: URL): { readonly "proxy-authorization"?: string } {
  if (username === "" && password === "") return {};
  const credentials = [username, password].map(decodeURIComponent).join(":");
  return { "proxy-authorization": `Basic ${Buffer.from(credentials).toString("base64")}` };
}
