/** One sample of Prometheus' text format. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}
export type Samples = readonly Sample[];

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** The samples of a page in Prometheus' text format; lines that are none are passed over. */
export function samplesOf(text: string): Samples {
  return text.split("\n").flatMap((line) => {
    const [, name = "", labels = "", value = ""] = LINE.exec(line) ?? [];
    if (name === "") return [];
    const pairs = [...labels.matchAll(LABEL)].map(([, label = "", written = ""]) => [label, written] as const);
    return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }];
  });
}
