/** One metric of Prometheus' text format. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly value: number;
  }[];
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

/**
 * Reads Prometheus' text format, version 0.0.4, strictly: HELP and TYPE before the samples, which stand together.
 *
 * @throws {Error} on anything else
 */
export function parseExposition(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  let current: Family | undefined;
  let help: readonly [string, string] = ["", ""];
  if (!text.endsWith("\n")) throw new Error("the last line has no line feed");
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [, kind, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (kind === "HELP") help = [name, rest];
    else if (kind === "TYPE") {
      if (help[0] !== name || families.has(name)) throw new Error(`no HELP before, or a second TYPE: ${line}`);
      current = { name, help: help[1], type: rest, samples: [] };
      families.set(name, current);
    } else current?.samples.push(sample(line, current.name, current.type));
  }
  return families;
}

function sample(line: string, family: string, type: string): Family["samples"][number] {
  const [, name = "", labelText = "", number = ""] = SAMPLE.exec(line) ?? [];
  const suffix = name.slice(family.length);
  const suffixes = type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
  if (!name.startsWith(family) || !suffixes.includes(suffix)) throw new Error(`not a sample of ${family}: ${line}`);
  const value = number === "+Inf" ? Number.POSITIVE_INFINITY : Number(number);
  // prom-client writes `Nan`; Prometheus takes it in any case of letters.
  if (number === "" || (Number.isNaN(value) && number.toLowerCase() !== "nan")) throw new Error(`no number: ${line}`);
  return { name, labels: labels(labelText), value };
}

function labels(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  LABEL.lastIndex = 0;
  let end = 0;
  while (end < text.length) {
    const [all = "", name = "", value = ""] = LABEL.exec(text) ?? [];
    if (all === "" || name in found) throw new Error(`no labels: ${text}`);
    found[name] = value;
    end += all.length;
  }
  return found;
}
