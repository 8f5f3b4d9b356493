import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { Duplex } from "node:stream";

/** Connections to one address that wait for the next request. */
const MOST_IDLE = 16;
/** Milliseconds that a connection waits; a server that says a shorter time (`keep-alive: timeout=`) is believed. */
const IDLE = 10_000;

const OPTIONS = { keepAlive: true, maxFreeSockets: MOST_IDLE, timeout: IDLE };

/**
 * Connections that are kept for the next request to the same address: a handshake costs each end more than what is
 * asked. They are one client's, which always trusts and shows the same: what is shared is also what was verified.
 */
export class Connections {
  readonly #http = guarded(new HttpAgent(OPTIONS));
  readonly #https = guarded(new HttpsAgent(OPTIONS));

  /** What opens and keeps connections to an address. */
  to(url: URL): HttpAgent {
    return url.protocol === "https:" ? this.#https : this.#http;
  }

  /** Ends all, those in use too. */
  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }
}

/**
 * Nobody was asked anything on a connection that waits: who speaks there is not to be heard as the answer to the next
 * request, which would be another token's.
 */
function guarded<T extends HttpAgent>(agent: T): T {
  const { keepSocketAlive, reuseSocket } = agent;
  const spoken = function (this: Duplex) {
    this.destroy();
  };
  return Object.assign(agent, {
    keepSocketAlive(socket: Duplex) {
      socket.on("data", spoken);
      return keepSocketAlive.call(agent, socket);
    },
    reuseSocket(socket: Duplex, request: Parameters<typeof reuseSocket>[1]) {
      socket.off("data", spoken);
      return reuseSocket.call(agent, socket, request);
    },
  });
}
