/**
 * An HTTP client that sends at a given rate, as a program: its one argument is a `Pace` in JSON, its output a `Seen`.
 * A request that finds all connections busy waits, and its latency counts from the moment it was due: a stall is seen
 * by all the requests that it made wait, not just by those under way (wrk would see only these).
 */
import { readFileSync } from "node:fs";
import { Connection, headOf, NONE } from "./connection.ts";
import type { Pace, Seen } from "./load.ts";

/** After this many milliseconds without an answer a run is over. */
const PATIENCE = 10_000;
/** Milliseconds of a run at a given rate that are sent before it: connections open, and code is compiled. */
const LEAD = 1000;
/** Milliseconds between two looks at what is due, beside one at every answer: so late may a request be sent, at most. */
const TICK = 1;

class Run {
  readonly #pace: Pace;
  readonly #requests: readonly string[];
  readonly #total: number;
  readonly #idle: Connection[];
  readonly #all: readonly Connection[];
  readonly #latencies: number[] = [];
  readonly #done: (seen: Seen) => void;
  #start = 0;
  #sent = 0;
  #answers = 0;
  #refused = 0;
  #unanswered = 0;
  #last = 0;

  constructor(pace: Pace, done: (seen: Seen) => void) {
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

  /** A finer clock would have to spin, and take half a core from what is measured. */
  readonly #turn = (): void => {
    const now = performance.now();
    if (this.#over(now)) {
      this.#finish(now);
      return;
    }
    this.#send(now);
    setTimeout(this.#turn, TICK);
  };

  /** Whatever is due, as far as there are connections for it. */
  #send(now: number): void {
    while (this.#sent < this.#total && this.#idle.length > 0) {
      const due = this.#dueTime(now);
      if (due > now) return;
      const request = this.#requests[this.#sent++ % this.#requests.length] ?? "";
      this.#idle.pop()?.send(request, due);
    }
  }

  #dueTime(now: number): number {
    return this.#pace.rate === undefined ? now : this.#start + (this.#sent * 1000) / this.#pace.rate;
  }

  #over(now: number): boolean {
    const { rate, seconds } = this.#pace;
    if (this.#answers >= this.#total || now - this.#last > PATIENCE) return true;
    return rate === undefined && seconds !== undefined && now - this.#start > seconds * 1000;
  }

  #answered(connection: Connection, status: number, due: number): void {
    const now = performance.now();
    this.#last = now;
    this.#answers++;
    if (status === NONE) this.#unanswered++;
    if (status >= 400) this.#refused++;
    if (this.#pace.rate === undefined || due >= this.#start + LEAD) this.#latencies.push(now - due);
    this.#idle.push(connection);
    this.#send(now);
  }

  #finish(now: number): void {
    for (const connection of this.#all) connection.close();
    const sorted = Float64Array.from(this.#latencies).sort();
    const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
    const missing = Number.isFinite(this.#total) ? this.#total - this.#answers : 0;
    this.#done({
      ...{ requests: this.#answers, refused: this.#refused, broken: this.#unanswered + missing },
      ...{ seconds: (now - this.#start) / 1000, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) },
    });
  }
}

function totalOf({ rate, seconds }: Pace, requests: number): number {
  if (seconds === undefined) return requests;
  return rate === undefined ? Number.POSITIVE_INFINITY : Math.round(rate * (LEAD / 1000 + seconds));
}

const pace = JSON.parse(process.argv[2] ?? "") as Pace;
const seen = await new Promise<Seen>((resolve) => new Run(pace, resolve).begin());
process.stdout.write(JSON.stringify(seen));
