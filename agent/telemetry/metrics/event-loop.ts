import type { Registry } from "prom-client";
import { DurationHistogram, type Durations } from "./cells.ts";
import { askedCounter } from "./registered.ts";

/** Milliseconds between two samples. Each wakes an idle process: 1.9 ms of CPU a second, 6.5 at 20 ms (measured). */
const INTERVAL = 100;
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

/**
 * How late the event loop is, and how busy.
 *
 * A timer of our own: `perf_hooks.monitorEventLoopDelay` counts its sampling interval as delay (an idle process at
 * 10 ms has a median of 10.1 ms), and quantiles that every scrape resets can be neither summed nor read by two scrapers.
 */
export class EventLoopMetrics {
  readonly #delays: Durations;
  #timer: NodeJS.Timeout | undefined;

  constructor(registry: Registry) {
    const name = "countersign_event_loop_delay_seconds";
    const delays = new DurationHistogram(registry, name, "How late a timer fired, sampled 10 times a second.", BOUNDS);
    this.#delays = delays.series({});
    askedCounter(
      registry,
      "countersign_event_loop_active_seconds_total",
      "Time in which the event loop did not wait.",
      () => performance.eventLoopUtilization().active / 1000,
    );
  }

  /** Samples until `stop`, without keeping the process alive. */
  start(): void {
    let before = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.#delays.observe(Math.max(0, now - before - INTERVAL) / 1000);
      before = now;
    }, INTERVAL).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
