import { createServer, type Server, type Socket } from "node:net";
import type { Test } from "tap";
import { encodeFrame } from "../../protocol/encode.ts";
import { FRAME_TYPE } from "../../protocol/spop.ts";
import { type Backend, type Received, startBackend } from "../support/backend.ts";
import { freePort } from "../support/haproxy.ts";
import { type Asked, actions, talk } from "../support/rogue.ts";
import type { Files } from "./merged.ts";

/** The agent's port, as configurations that are run have it. */
const AGENT = 9000;
/** Ports as they are written: after an address, or as a number of an expression. */
const PORT = /(?<=:|int\()(?:9000|[12]\d{4})\b/g;
/** What only root may, or what would end the test. */
const UNWANTED = /^ {4}(?:chroot .*|user haproxy|group haproxy|daemon)\n/gm;

/**
 * What stands around a HAProxy that is attacked: an agent that does what the credential says, well or badly, and can
 * leave; and the servers. Configurations are written with ports of their own: 9000 the agent, 21xxx judged servers,
 * 22xxx others, and those below where HAProxy listens.
 */
export class Field {
  readonly #t: Test;
  readonly #ports = new Map<number, number>();
  readonly #servers: Backend[] = [];
  #agent: Server | undefined;
  readonly #sockets = new Set<Socket>();
  /** What the agent allowed, by the request's mark. */
  readonly told = new Map<string, ReadonlyMap<string, string>>();

  constructor(t: Test) {
    this.#t = t;
    t.teardown(() => this.leave());
  }

  /** The files with ports that are free, or that the servers here have. */
  async placed(files: Files): Promise<Files> {
    const numbers = Object.values(files).flatMap((text) => text.match(PORT) ?? []);
    for (const number of new Set(numbers.map(Number))) await this.port(number);
    const text = (one: string) =>
      one.replaceAll(PORT, (number) => String(this.#ports.get(Number(number)))).replaceAll(UNWANTED, "");
    return Object.fromEntries(Object.entries(files).map(([name, one]) => [name, text(one)]));
  }

  async port(number: number): Promise<number> {
    const known = this.#ports.get(number);
    const port = known ?? (number < 20_000 ? await freePort() : await this.#server(number));
    this.#ports.set(number, port);
    return port;
  }

  async #server(number: number): Promise<number> {
    const server = await startBackend(this.#t);
    if (number < 22_000) this.#servers.push(server);
    return server.port;
  }

  /** The request with this mark, where it got to a judged server. */
  arrived(mark: string): Received | undefined {
    for (const { received } of this.#servers) {
      const found = received.find(({ headers }) =>
        headers.some(([name, value]) => name === "x-mark" && value === mark),
      );
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The agent comes, and all forget what was before. */
  async come(): Promise<void> {
    this.told.clear();
    for (const server of this.#servers) server.forget();
    const port = await this.port(AGENT);
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {}).on("close", () => this.#sockets.delete(socket));
      talk(socket, (asked) => this.#answer(asked, socket));
    });
    this.#agent = server;
    await new Promise<void>((done, failed) => server.once("error", failed).listen(port, "127.0.0.1", done));
  }

  /** The agent goes, with all its connections. */
  async leave(): Promise<void> {
    const server = this.#agent;
    this.#agent = undefined;
    for (const socket of this.#sockets) socket.destroy();
    if (server !== undefined) await new Promise((done) => server.close(done));
  }

  #answer(asked: Asked, socket: Socket): void {
    const [credential, mark = ""] = (asked.told.get("authorization") ?? "").split(" ");
    const send = (list: readonly (readonly [string, string])[]) =>
      socket.write(encodeFrame(FRAME_TYPE.ack, actions(list), asked));
    const known = ["path", "host", "method"].every((name) => asked.told.has(name));
    if (credential === "good" && known && asked.told.get("path") !== "/secret") {
      this.told.set(mark, asked.told);
      send(allowed(asked.id, "allow"));
    } else if (credential === "other-id") send(allowed("0".repeat(32), "allow"));
    else if (credential === "no-id") send(allowed("", "allow").slice(1));
    else if (credential === "other-word") send(allowed(asked.id, "allowed"));
    else if (credential === "upper") send(allowed(asked.id, "ALLOW"));
    else if (credential === "no-verdict") send(allowed(asked.id, "").slice(0, 4));
    else if (credential === "cut") socket.destroy();
    else if (credential !== "silent") send(denied(asked.id));
  }
}

const allowed = (id: string, verdict: string) =>
  [
    ["id", id],
    ["backend", "orders"],
    ["subject", "alice"],
    ["header_1", "alice"],
    ["verdict", verdict],
  ] as const;

const denied = (id: string) =>
  [
    ["id", id],
    ["status", "401"],
    ["verdict", "deny"],
  ] as const;
