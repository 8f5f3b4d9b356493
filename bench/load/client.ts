/**
 * An HTTP client that sends at a given rate, as a program: its one argument is a `Pace` in JSON, its output a
 * `ClientReport`. A request that finds all connections busy waits, and its latency counts from the moment it was due:
 * a stall is seen by all the requests that it made wait, not just by those under way (wrk would see only these).
 */
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { HOST, type Pace, type Seen } from "./load.ts";

export interface ClientReport extends Seen {
  /** Answers by status. */
  readonly statuses: Readonly<Record<string, number>>;
}

/** After this many milliseconds without an answer a run is over. */
const PATIENCE = 10_000;

/** One keep-alive connection with at most one request under way. */
class Connection {
  readonly #port: number;
  readonly #answered: (connection: Connection, status: string, due: number) => void;
  #socket: Socket;
  #received = "";
  #due = 0;
  #busy = false;

  constructor(port: number, answered: (connection: Connection, status: string, due: number) => void) {
    this.#port = port;
    this.#answered = answered;
    this.#socket = this.#open();
  }

  send(request: string, due: number): void {
    this.#due = due;
    this.#busy = true;
    if (this.#socket.destroyed) this.#socket = this.#open();
    this.#socket.write(request, "latin1");
  }

  close(): void {
    this.#busy = false;
    this.#socket.removeAllListeners("close").destroy();
  }

  #open(): Socket {
    const socket = connect(this.#port, "127.0.0.1").setNoDelay(true).setEncoding("latin1");
    socket.on("error", () => {});
    socket.on("data", (text: string) => this.#read(text));
    socket.on("close", () => {
      if (socket !== this.#socket) return;
      this.#received = "";
      // A listener that is being replaced may refuse for a moment; do not turn that into a storm.
      if (this.#busy) setTimeout(() => this.#answer("none"), 1);
    });
    return socket;
  }

  #read(text: string): void {
    this.#received += text;
    const head = this.#received.indexOf("\r\n\r\n");
    if (head < 0) return;
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(this.#received)?.[1] ?? 0);
    if (this.#received.length < head + 4 + length) return;
    const status = this.#received.slice(9, 12);
    this.#received = "";
    this.#answer(status);
  }

  #answer(status: string): void {
    if (!this.#busy) return;
    this.#busy = false;
    this.#answered(this, status, this.#due);
  }
}

class Run {
  readonly #pace: Pace;
  readonly #requests: readonly string[];
  readonly #total: number;
  readonly #idle: Connection[];
  readonly #all: readonly Connection[];
  readonly #latencies: number[] = [];
  readonly #statuses: Record<string, number> = {};
  readonly #cell = new Int32Array(new SharedArrayBuffer(4));
  readonly #done: (report: ClientReport) => void;
  #start = 0;
  #sent = 0;
  /** Something was sent or received in this turn. */
  #active = false;
  #last = 0;

  constructor(pace: Pace, done: (report: ClientReport) => void) {
    this.#pace = pace;
    this.#done = done;
    this.#requests = readFileSync(pace.file, "utf8").trimEnd().split("\n").map(headOf);
    this.#total = totalOf(pace, this.#requests.length);
    this.#all = Array.from({ length: pace.connections }, () => {
      return new Connection(pace.port, (connection, status, due) => this.#answered(connection, status, due));
    });
    this.#idle = [...this.#all];
  }

  begin(): void {
    this.#start = this.#last = performance.now();
    this.#turn();
  }

  /** One turn of the event loop: whatever is due is sent, as far as there are connections for it. */
  #turn(): void {
    const now = performance.now();
    if (this.#over(now)) {
      this.#finish(now);
      return;
    }
    while (this.#sent < this.#total && this.#idle.length > 0) {
      const due = this.#dueTime(now);
      if (due > now) break;
      const request = this.#requests[this.#sent++ % this.#requests.length] ?? "";
      this.#idle.pop()?.send(request, due);
      this.#active = true;
    }
    // Timers of the event loop are a millisecond coarse, and spinning would take a core from what is measured.
    if (this.#pace.rate !== undefined && !this.#active) Atomics.wait(this.#cell, 0, 0, 0.05);
    this.#active = false;
    setImmediate(() => this.#turn());
  }

  #dueTime(now: number): number {
    return this.#pace.rate === undefined ? now : this.#start + (this.#sent * 1000) / this.#pace.rate;
  }

  #over(now: number): boolean {
    const { rate, seconds } = this.#pace;
    if (this.#latencies.length >= this.#total || now - this.#last > PATIENCE) return true;
    return rate === undefined && seconds !== undefined && now - this.#start > seconds * 1000;
  }

  #answered(connection: Connection, status: string, due: number): void {
    this.#last = performance.now();
    this.#active = true;
    this.#latencies.push(this.#last - due);
    this.#statuses[status] = (this.#statuses[status] ?? 0) + 1;
    this.#idle.push(connection);
  }

  #finish(now: number): void {
    for (const connection of this.#all) connection.close();
    const sorted = Float64Array.from(this.#latencies).sort();
    const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
    const statuses = this.#statuses;
    const refused = Object.entries(statuses).reduce(
      (sum, [status, n]) => sum + (status >= "400" && status < "a" ? n : 0),
      0,
    );
    const broken = (statuses.none ?? 0) + (Number.isFinite(this.#total) ? this.#total - sorted.length : 0);
    this.#done({
      ...{ requests: sorted.length, refused, broken, statuses, seconds: (now - this.#start) / 1000 },
      ...{ p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) },
    });
  }
}

function totalOf({ rate, seconds }: Pace, requests: number): number {
  if (seconds === undefined) return requests;
  return rate === undefined ? Number.POSITIVE_INFINITY : Math.round(rate * seconds);
}

function headOf(line: string): string {
  const blank = line.indexOf(" ");
  return `GET ${line.slice(0, blank)} HTTP/1.1\r\nHost: ${HOST}\r\n${line.slice(blank + 1)}\r\n\r\n`;
}

const report = await new Promise<ClientReport>((resolve) => {
  new Run(JSON.parse(process.argv[2] ?? "") as Pace, resolve).begin();
});
process.stdout.write(JSON.stringify(report));
