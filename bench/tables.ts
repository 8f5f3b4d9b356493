import { PLAIN } from "./contestants/handwritten.ts";
import { figuresOf, meets } from "./figures.ts";
import { type Column, column, type Fact, median, type Report, type Result, spread, typical } from "./results.ts";

/** Rows of text; the first one is the head. */
export interface Table {
  readonly title: string;
  readonly rows: readonly (readonly string[])[];
}

const HEAD = [
  ...["scenario", "contestant", "conn.", "requests/s", "p50 ms", "p99 ms", "p99.9 ms"],
  ...["HAProxy us", "agent us", "both us", "x plain", "agent MB", "wrong"],
];

const EVENT_HEAD = ["disturbance", "contestant", "requests", "refused", "no answer", "p50 ms", "p99 ms", "slowest ms"];

const TITLES: Readonly<Record<string, string>> = {
  warm: "Warm: one identity",
  many: "Warm: many identities",
  cold: "Cold: every token is verified",
  policies: "What the policies ask for",
  identities: "Ways to show who one is, and slow providers beside",
  latency: "Latency at a given rate, counted from the moment a request was due",
  workers: "Several workers, HAProxy with 2 threads",
  events: "Disturbances under load, at a quarter of saturation",
};

/** The tables of one report: medians of the rounds, with half of the range where it tells something. */
export function tablesOf(report: Report): readonly Table[] {
  const sections = [...new Set(report.results.map(({ section }) => section))];
  const tables = sections.map((section) => {
    const results = report.results.filter((result) => result.section === section);
    const rows =
      section === "events"
        ? [EVENT_HEAD, ...results.map(eventCells)]
        : [HEAD, ...results.map((result) => cellsOf(result, results))];
    return { title: TITLES[section] ?? section, rows };
  });
  const facts = report.facts.length === 0 ? [] : [factTable(report.facts)];
  return [...tables, ...facts, figureTable(report)];
}

function cellsOf(result: Result, all: readonly Result[]): readonly string[] {
  const { scenario, contestant, connections } = result;
  const agent = typical(result, "memory") > 0;
  return [
    ...[scenario, contestant, String(connections), withSpread(result, "rate", 0)],
    ...(["p50", "p99", "p999"] as const).map((name) => typical(result, name).toFixed(2)),
    ...[
      withSpread(result, "haproxy", 1),
      agent ? withSpread(result, "agent", 1) : "",
      typical(result, "both").toFixed(1),
    ],
    ...[timesPlain(result, all), agent ? typical(result, "memory").toFixed(0) : "", sum(result, "wrong")],
  ];
}

/** Requests are counted over all rounds, times are the worst of them: a disturbance is not to be averaged away. */
function eventCells(result: Result): readonly string[] {
  const worst = (["p50", "p99", "max"] as const).map((name) => Math.max(...column(result, name)).toFixed(2));
  return [
    result.scenario,
    result.contestant,
    sum(result, "requests"),
    sum(result, "refused"),
    sum(result, "broken"),
    ...worst,
  ];
}

/** Over all rounds. */
function sum(result: Result, name: Column): string {
  return String(column(result, name).reduce((total, value) => total + value, 0));
}

function withSpread(result: Result, name: Column, digits: number): string {
  const values = column(result, name);
  return `${median(values).toFixed(digits)} ± ${spread(values).toFixed(digits)}`;
}

/** CPU a request of all processes, as a multiple of plain HAProxy's of the same section and connections. */
function timesPlain(result: Result, section: readonly Result[]): string {
  const plain = section.find(({ connections, contestant }) => {
    return contestant === PLAIN.name && connections === result.connections;
  });
  return plain === undefined ? "" : (typical(result, "both") / typical(plain, "both")).toFixed(2);
}

function factTable(facts: readonly Fact[]): Table {
  const rows = facts.map(({ name, unit, values }) => {
    return [name, `${median(values).toFixed(1)} ± ${spread(values).toFixed(1)} ${unit}`];
  });
  return { title: "Memory, start and shares", rows: [["what", "measured"], ...rows] };
}

function figureTable(report: Report): Table {
  const rows = figuresOf(report).map((figure) => {
    const { what, must, goal, reached } = figure;
    const verdict =
      reached === undefined || must === undefined
        ? ""
        : meets(figure, goal)
          ? "goal"
          : meets(figure, must)
            ? "holds"
            : "missed";
    return [what, verdict, reached?.toFixed(2) ?? "not measured", String(must ?? ""), String(goal ?? "")];
  });
  return {
    title: `Figures to reach with HAProxy ${report.haproxy}`,
    rows: [["figure", "", "reached", "must", "goal"], ...rows],
  };
}

/** A table for a terminal: columns as wide as they must be. */
export function asText({ title, rows }: Table): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((cells) => (cells[i] ?? "").length)));
  const line = (cells: readonly string[]) => {
    return cells
      .map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join("  ")
      .trimEnd();
  };
  return `${title}\n${rows.map((cells) => `  ${line(cells)}\n`).join("")}`;
}

export function asMarkdown({ title, rows: [head = [], ...rows] }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |\n`;
  return `#### ${title}\n\n${line(head)}${line(head.map((_, i) => (i < 2 ? "---" : "---:")))}${rows.map(line).join("")}`;
}
