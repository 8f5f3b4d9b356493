import { Counter, Gauge, type Registry } from "prom-client";

/**
 * A gauge whose value somebody else keeps; it is asked for at each scrape.
 *
 * @param aggregator how those of several workers become one
 */
export function askedGauge(
  registry: Registry,
  name: string,
  help: string,
  ask: () => number,
  aggregator: "sum" | "max" = "sum",
): void {
  new Gauge({
    name,
    help,
    aggregator,
    registers: [registry],
    collect() {
      this.set(ask());
    },
  });
}

/** A counter that somebody else keeps; it is asked for at each scrape. */
export function askedCounter(registry: Registry, name: string, help: string, ask: () => number): void {
  new Counter({
    name,
    help,
    registers: [registry],
    collect() {
      this.reset();
      this.inc(ask());
    },
  });
}
