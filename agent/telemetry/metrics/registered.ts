import { Counter, Gauge, type Registry } from "prom-client";

/** A gauge whose value somebody else keeps; it is asked for at each scrape. */
export function askedGauge(registry: Registry, name: string, help: string, ask: () => number): void {
  new Gauge({
    name,
    help,
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
