import type { MetricValues } from "./metrics.ts";

/** Media type of the text below. */
export const OPEN_METRICS = "application/openmetrics-text";

/** One observation of a histogram's bucket, and the trace that it is told in. */
export interface Exemplar {
  readonly traceId: string;
  readonly value: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

type Value = MetricValues["values"][number];

/** Metrics as OpenMetrics 1.0, which has exemplars. prom-client's own changes the names of its counters for good. */
export function openMetricsText(families: readonly MetricValues[]): string {
  return `${families.flatMap(familyLines).join("\n")}\n# EOF\n`;
}

/** Gives the sums over several processes the newest exemplar of any. */
export function withExemplars(
  sums: readonly MetricValues[],
  processes: readonly (readonly MetricValues[])[],
): readonly MetricValues[] {
  const newest = new Map<string, Exemplar>();
  for (const { values } of processes.flat()) {
    for (const value of values) {
      const { exemplar } = value;
      if (exemplar && exemplar.at >= (newest.get(keyOf(value))?.at ?? 0)) newest.set(keyOf(value), exemplar);
    }
  }
  if (newest.size === 0) return sums;
  return sums.map((family) => ({
    ...family,
    values: family.values.map((value) => {
      const exemplar = newest.get(keyOf(value));
      return exemplar === undefined ? value : { ...value, exemplar };
    }),
  }));
}

function keyOf({ metricName = "", labels }: Value): string {
  return JSON.stringify([metricName, Object.entries(labels).sort()]);
}

function familyLines({ name, help, type, values }: MetricValues): readonly string[] {
  const base = type === "counter" ? name.replace(/_total$/, "") : name;
  const suffix = type === "counter" ? "_total" : "";
  return [
    `# TYPE ${base} ${type}`,
    `# HELP ${base} ${escaped(help)}`,
    ...values.map((value) => sampleLine(value, `${base}${suffix}`)),
  ];
}

function sampleLine({ metricName, labels, value, exemplar }: Value, name: string): string {
  const texts = Object.entries(labels).map(
    ([label, text]) => `${label}="${label === "le" ? bound(text) : escaped(String(text))}"`,
  );
  const labelled = texts.length === 0 ? "" : `{${texts.join()}}`;
  const example = exemplar ? ` # {trace_id="${exemplar.traceId}"} ${exemplar.value} ${exemplar.at / 1_000}` : "";
  return `${metricName ?? name}${labelled} ${number(value)}${example}`;
}

/** `le` has one spelling for each number: as Go writes it, with `.0` behind whole ones. */
function bound(text: string | number): string {
  const value = Number(text);
  if (!Number.isFinite(value)) return "+Inf";
  if (Number.isInteger(value)) return value.toFixed(1);
  return value < 1e-4 ? value.toExponential().replace(/e-(\d)$/, "e-0$1") : String(value);
}

function number(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}

function escaped(text: string): string {
  return text.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n");
}
