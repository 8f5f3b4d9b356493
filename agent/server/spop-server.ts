import { createServer, type Server, type Socket } from "node:net";
import { buffersFor } from "../../haproxy/buffers.ts";
import { LENGTH_PREFIX, STATUS } from "../../protocol/spop.ts";
import type { Snapshot } from "../answer/snapshot.ts";
import { Waiting } from "../answer/waiting.ts";
import { type Address, addressText, type ListenerTls } from "../net/address.ts";
import { addressesOf } from "../net/addresses.ts";
import { allOf, listen } from "../net/listen.ts";
import type { ServerEvents } from "../telemetry/events.ts";
import { Connection, type Shared } from "./connection.ts";
import { Engines } from "./engines.ts";
import { HalfSent, PATIENCE, type Patience } from "./half-sent.ts";
import { TlsDoor } from "./tls-door.ts";

/**
 * Milliseconds without a request after which a draining server believes that HAProxy has gone elsewhere. Before that
 * HAProxy must have found its health checks refused: the generated ones come once a second, the second 250 ms later.
 */
const QUIET = 1_500;

export interface ServerOptions {
  readonly snapshot: Snapshot;
  readonly events: ServerEvents;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly patience?: Partial<Patience>;
  /** Its number, where there are several. */
  readonly worker?: number | undefined;
}

/** The agent's listeners for HAProxy and all their connections. */
export class SpopServer {
  readonly #servers: Server[] = [];
  /** By the address that each stands before. */
  readonly #doors = new Map<string, TlsDoor>();
  readonly #worker: number;
  #isOpen = false;
  #opened = 0;
  readonly #connections = new Set<Connection>();
  readonly #shared: Shared;
  #emptied: () => void = () => {};
  #closed: Promise<void> | undefined;

  constructor(options: ServerOptions) {
    const { snapshot, events, clock, worker = 1 } = options;
    this.#worker = worker;
    const patience = { ...PATIENCE, ...options.patience };
    this.#shared = {
      snapshot,
      draining: false,
      requests: 0,
      waiting: new Waiting(),
      patience,
      halfSent: new HalfSent(patience),
      engines: new Engines(),
      // After this turn, whose answers are still sent.
      grown: () => setImmediate(() => this.#endUnfit()),
      unpipelined: () => events.unpipelined(this.pipeliningAdvice() ?? ""),
      clock,
      events,
    };
  }

  /** Requests that were decided, health checks not among them. */
  get requests(): number {
    return this.#shared.requests;
  }

  /** Connections that were ever accepted. */
  get opened(): number {
    return this.#opened;
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Milliseconds since the epoch at which the first certificate ends that it shows; 0 where it shows none. */
  get certificateUntil(): number {
    return this.#doors.size === 0 ? 0 : Math.min(...this.#doors.values().map(({ until }) => until));
  }

  /** Requests that wait for a verification. */
  get inFlight(): number {
    return this.#shared.waiting.count;
  }

  /** Where the server can be reached: the ports that were asked for as 0 among them. */
  get addresses(): readonly Address[] {
    return this.#servers.map((server) => {
      const address = server.address();
      if (address === null || typeof address === "string") return { path: address ?? "", mode: 0 };
      return { host: address.address, port: address.port };
    });
  }

  /**
   * @param bound what is to be done once every address is ours, and before anybody is let in
   * @throws Error that names every address which cannot be bound, or of `bound`; all are closed again
   */
  async listen(addresses: readonly Address[], bound: () => void = () => {}): Promise<void> {
    try {
      await allOf(addresses.map((address) => this.#listen(address)));
      // The addresses are of the start; a worker that comes later has a later snapshot.
      this.#renewDoors();
      bound();
      this.#isOpen = true;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #listen(address: Address): Promise<void> {
    const door = "tls" in address && address.tls !== undefined ? this.#doorOf(address.tls) : undefined;
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      if (!this.#isOpen) socket.destroy();
      else if (door === undefined) this.#accept(socket);
      else door.accept(socket);
    });
    await listen(server, address);
    this.#servers.push(server);
    if (door !== undefined) this.#doors.set(addressText(address), door);
  }

  #doorOf(tls: ListenerTls): TlsDoor {
    return new TlsDoor({
      tls,
      timeout: this.#shared.patience.hello,
      admitted: (socket) => this.#accept(socket),
      refused: (why) => this.#shared.events.protocolError(why),
    });
  }

  /**
   * Judges from the next frame on by another snapshot. A connection whose pipelining the new one's largest answer
   * would wedge is ended, and comes back without.
   */
  update(snapshot: Snapshot): void {
    this.#shared.snapshot = snapshot;
    this.#renewDoors();
    this.#endUnfit();
  }

  /** Where we listen with TLS, and where not, stays as it was at the start. */
  #renewDoors(): void {
    for (const address of addressesOf(this.#shared.snapshot.config.listen.spop, this.#worker)) {
      if ("tls" in address && address.tls !== undefined) this.#doors.get(addressText(address))?.renew(address.tls);
    }
  }

  #endUnfit(): void {
    for (const connection of this.#connections) {
      if (connection.pipelined && connection.obstacle !== undefined) {
        connection.disconnect(STATUS.normal, "answers have grown");
      }
    }
  }

  /** What to set in HAProxy so that connections can be pipelined; undefined where they are. */
  pipeliningAdvice(): string | undefined {
    const obstacle = this.#connections.values().find((connection) => connection.obstacle !== undefined)?.obstacle;
    if (obstacle === undefined) return undefined;
    const { largestAck, maxFrameSize } = obstacle;
    const { policies, config } = this.#shared.snapshot;
    const { bufsize } = buffersFor(largestAck, policies.uses, config.haproxy.largestBody);
    return `set tune.bufsize ${bufsize} in HAProxy: with ${maxFrameSize + LENGTH_PREFIX} and answers of up to ${largestAck} bytes it cannot pipeline`;
  }

  /**
   * Lets HAProxy leave: health checks are refused, so that it marks the server down, while every request is still
   * answered; once none has come for a second and a half, or after the limit, all connections are ended.
   *
   * @param limit milliseconds
   */
  async drain(limit: number): Promise<void> {
    this.#shared.draining = true;
    const until = performance.now() + limit;
    let seen = -1;
    while (
      this.#connections.size > 0 &&
      performance.now() < until &&
      (this.inFlight > 0 || seen !== this.#shared.requests)
    ) {
      seen = this.#shared.requests;
      await new Promise((resolve) => setTimeout(resolve, Math.min(QUIET, until - performance.now())));
    }
    await this.close();
  }

  /** Ends everything now; what was answered is still sent. Resolves, every time, once all is closed. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#shared.draining = true;
    this.#shared.halfSent.close();
    const closed = this.#servers.map((server) => new Promise((resolve) => server.close(resolve)));
    this.#servers.length = 0;
    for (const door of this.#doors.values()) door.close();
    for (const connection of this.#connections) connection.disconnect(STATUS.normal, "the agent stops");
    await Promise.all(closed);
    if (this.#connections.size > 0) await new Promise<void>((resolve) => (this.#emptied = resolve));
  }

  /** Where there are too many, one that never said HELLO makes room, the oldest first: HAProxy says it at once. */
  #accept(socket: Socket): void {
    const { limits } = this.#shared.snapshot.config;
    if (this.#connections.size >= limits.connections) this.#abandonSilent();
    const connection = new Connection(socket, this.#shared, (ended) => this.#left(ended));
    this.#connections.add(connection);
    this.#opened++;
    if (this.#connections.size > limits.connections) connection.disconnect(STATUS.resources, "too many connections");
  }

  #abandonSilent(): void {
    const silent = this.#connections.values().find(({ greeted }) => !greeted);
    if (silent === undefined) return;
    silent.abandon();
    this.#connections.delete(silent);
  }

  #left(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#emptied();
  }
}
