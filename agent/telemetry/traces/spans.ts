import { randomUUID } from "node:crypto";
import type { TracesConfig } from "../../config/sections/traces.ts";
import { Connections } from "../../http/connections.ts";
import { exchange } from "../../http/exchange.ts";
import { type HttpAnswer, send } from "../../http/fetch.ts";
import type { DecisionSink, Observation } from "../events.ts";
import { jsonText } from "../safe-text.ts";
import { CONVENTIONS, spanOf } from "./span.ts";

/** Spans that wait, and characters of them; what comes on top is dropped and counted. */
const MOST_WAITING = 2_048;
const LARGEST_BACKLOG = 4 * 1024 * 1024;
/** Spans of one batch, and milliseconds that one waits for others. */
const BATCH = 512;
const DELAY = 1_000;
/** Milliseconds until what could not be sent is tried again: the first time, and at most. Each time twice as long. */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 30_000;
/** Milliseconds for what waits at the end. */
const LONGEST_CLOSE = 2_000;
const LARGEST_ANSWER = 64 * 1024;
/** OTLP 1.x, section "Retryable Response Codes". */
const RETRYABLE: readonly number[] = [429, 502, 503, 504];

/** What exporting tells about itself. None of these throws or waits. */
export interface SpanEvents {
  /** @param problem why spans cannot be exported; undefined where they were again */
  exporting(problem: string | undefined): void;
}

export interface SpanCounts {
  readonly exported: number;
  readonly dropped: number;
}

/**
 * Tells a collector of decisions, as spans of the traces that the requests belong to: OTLP 1.x over HTTP, as JSON. A
 * collector that is slow or away costs the spans that do not fit any more, and no request anything.
 */
export class Spans implements DecisionSink {
  readonly #config: TracesConfig;
  readonly #head: string;
  readonly #clock: () => number;
  readonly #events: SpanEvents;
  readonly #connections = new Connections();
  readonly #end = new AbortController();
  #waiting: string[] = [];
  #size = 0;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #failures = 0;
  #exported = 0;
  #dropped = 0;
  #closed = false;

  /** @param version Countersign's */
  constructor(config: TracesConfig, version: string, clock: () => number, events: SpanEvents) {
    this.#config = config;
    this.#clock = clock;
    this.#events = events;
    const resource = [
      ["service.name", "countersign"],
      ["service.version", version],
      ["service.instance.id", randomUUID()],
    ].map(([key = "", value = ""]) => `{"key":"${key}","value":{"stringValue":"${jsonText(value, 256)}"}}`);
    this.#head = `{"resourceSpans":[{"resource":{"attributes":[${resource}]},"schemaUrl":"${CONVENTIONS}","scopeSpans":[{"scope":{"name":"countersign","version":"${jsonText(version, 256)}"},"schemaUrl":"${CONVENTIONS}","spans":[`;
  }

  get counts(): SpanCounts {
    return { exported: this.#exported, dropped: this.#dropped };
  }

  decided(observation: Observation): void {
    const span = spanOf(observation, this.#clock());
    if (span === undefined) return;
    if (this.#closed || this.#waiting.length >= MOST_WAITING || this.#size >= LARGEST_BACKLOG) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(span);
    this.#size += span.length;
    if (this.#waiting.length >= BATCH && this.#failures === 0) this.#flush();
    else this.#later(DELAY);
  }

  /** Sends what is left, for a bounded time; what could not be is counted. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    const late = setTimeout(() => this.#end.abort(), LONGEST_CLOSE);
    await this.#sending;
    while (this.#waiting.length > 0 && this.#failures === 0) await this.#export();
    clearTimeout(late);
    this.#dropped += this.#waiting.length;
    this.#waiting = [];
    this.#connections.close();
  }

  #later(delay: number): void {
    if (this.#closed || this.#sending !== undefined) return;
    this.#timer ??= setTimeout(() => this.#flush(), delay).unref();
  }

  #flush(): void {
    if (this.#sending !== undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending = this.#export().finally(() => {
      this.#sending = undefined;
      if (this.#waiting.length > 0) this.#later(this.#pause());
    });
  }

  #pause(): number {
    if (this.#failures === 0) return this.#waiting.length >= BATCH ? 0 : DELAY;
    return Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(this.#failures - 1, 10));
  }

  /** Sends one batch. It is taken from what waits only when it has come to an end: sent, or refused for good. */
  async #export(): Promise<void> {
    const batch = this.#waiting.slice(0, BATCH);
    const outcome = await this.#post(`${this.#head}${batch.join()}]}]}]}`);
    if (typeof outcome === "string") {
      this.#failures++;
      this.#events.exporting(outcome);
      return;
    }
    this.#waiting = this.#waiting.slice(batch.length);
    for (const span of batch) this.#size -= span.length;
    const rejected = Math.min(batch.length, rejectedOf(outcome, batch.length));
    this.#exported += batch.length - rejected;
    this.#dropped += rejected;
    this.#failures = 0;
    this.#events.exporting(rejected === 0 ? undefined : `status ${outcome.status}, ${rejected} spans refused`);
  }

  /** @returns the answer, or why it is to be tried again */
  async #post(body: string): Promise<HttpAnswer | string> {
    const { endpoint, headers, timeout, ca, proxy } = this.#config;
    const signal = AbortSignal.any([AbortSignal.timeout(timeout), this.#end.signal]);
    const bounds = { signal, ca, proxy, maxSize: LARGEST_ANSWER };
    const request = {
      method: "POST" as const,
      headers: { ...headers, "content-type": "application/json", accept: "application/json" },
      body,
    };
    try {
      const answer = await exchange(send, new URL(endpoint), { ...bounds, connections: this.#connections }, request);
      return RETRYABLE.includes(answer.status) ? `status ${answer.status}` : answer;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}

/** How many of a batch a collector has refused for good. */
function rejectedOf({ status, body }: HttpAnswer, all: number): number {
  if (status < 200 || status > 299) return all;
  try {
    const { partialSuccess } = JSON.parse(body.toString());
    return Number(partialSuccess?.rejectedSpans ?? 0) || 0;
  } catch {
    return 0;
  }
}
