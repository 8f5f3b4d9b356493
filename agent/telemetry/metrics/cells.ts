import { Counter, type Histogram, type Registry } from "prom-client";
import type { Exemplar } from "./open-metrics.ts";

/** One number of a counter. It is incremented on the way of a request and becomes a time series only when scraped. */
export interface Cell {
  count: number;
}

interface Series<Label extends string> extends Cell {
  readonly labels: Record<Label, string>;
  readonly fromStart: boolean;
}

/** A counter all of whose series are known beforehand: 18 ns an increment, against 200 ns with prom-client's look-up of labels. */
export class Tally<Label extends string> {
  readonly #series: Series<Label>[] = [];

  constructor(registry: Registry, name: string, help: string, labelNames: readonly Label[]) {
    const series = this.#series;
    const registers = [registry];
    new Counter({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const { labels, count, fromStart } of series) if (fromStart || count > 0) this.inc(labels, count);
      },
    });
  }

  /**
   * Adds a series; called once for each, at the start.
   *
   * @param fromStart whether it is exported while it is zero; rate() needs the zero for what can be expected to happen
   */
  cell(labels: Record<Label, string>, fromStart = true): Cell {
    const series = { labels, fromStart, count: 0 };
    this.#series.push(series);
    return series;
  }
}

/** Durations of one series: 11 ns an observation, against 400 to 590 ns with prom-client's own. */
export class Durations {
  /** Not cumulative; the last one is for what is longer than all bounds. */
  readonly counts: Float64Array;
  /** Seconds. */
  sum = 0;
  /** The newest of each bucket that is told in a trace. */
  readonly exemplars: (Exemplar | undefined)[] = [];
  readonly #bounds: readonly number[];

  /** @param bounds seconds, rising */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(seconds: number): void {
    const index = this.#bucketOf(seconds);
    this.counts[index] = (this.counts[index] as number) + 1;
    this.sum += seconds;
  }

  /** Of what was observed: the trace that tells more. */
  exemplify(exemplar: Exemplar): void {
    this.exemplars[this.#bucketOf(exemplar.value)] = exemplar;
  }

  #bucketOf(seconds: number): number {
    const bounds = this.#bounds;
    let index = 0;
    while (index < bounds.length && seconds > (bounds[index] as number)) index++;
    return index;
  }
}

interface Value {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly exemplar?: Exemplar;
}

/** A histogram for prom-client's registry that reads `Durations` when it is scraped. */
export class DurationHistogram<Label extends string> {
  // The members that a registry reads of a metric.
  readonly name: string;
  readonly help: string;
  readonly type = "histogram";
  readonly aggregator = "sum";
  readonly #bounds: readonly number[];
  readonly #series: { readonly labels: Record<Label, string>; readonly durations: Durations }[] = [];

  /** @param bounds seconds, rising */
  constructor(registry: Registry, name: string, help: string, bounds: readonly number[]) {
    this.name = name;
    this.help = help;
    this.#bounds = bounds;
    // prom-client's type wants one of its own classes.
    registry.registerMetric(this as unknown as Histogram);
  }

  /** Adds a series; called once for each, at the start. */
  series(labels: Record<Label, string>): Durations {
    const durations = new Durations(this.#bounds);
    this.#series.push({ labels, durations });
    return durations;
  }

  async get(): Promise<{ name: string; help: string; type: string; aggregator: string; values: readonly Value[] }> {
    const values = this.#series.flatMap(({ labels, durations }) => this.#values(labels, durations));
    return { name: this.name, help: this.help, type: this.type, aggregator: this.aggregator, values };
  }

  #values(labels: Record<Label, string>, { counts, sum, exemplars }: Durations): Value[] {
    let count = 0;
    const values: Value[] = Array.from(counts, (inBucket, index) => {
      count += inBucket;
      const le = this.#bounds[index] ?? "+Inf";
      const exemplar = exemplars[index];
      const value = { metricName: `${this.name}_bucket`, labels: { ...labels, le }, value: count };
      return exemplar === undefined ? value : { ...value, exemplar };
    });
    values.push({ metricName: `${this.name}_sum`, labels, value: sum });
    values.push({ metricName: `${this.name}_count`, labels, value: count });
    return values;
  }
}
