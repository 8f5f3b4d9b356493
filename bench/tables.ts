import { type Column, column, type Fact, median, type Report, type Result, spread, typical } from "./results.ts";

/** Rows of text; the first one is the head. */
export interface Table {
  readonly title: string;
  readonly rows: readonly (readonly string[])[];
}

const HEAD = ["scenario", "contestant", "conn.", "requests/s", "p50 ms", "p99 ms", "p99.9 ms"].concat([
  "HAProxy us",
  "agent us",
  "both us",
  "x plain",
  "agent MB",
]);

const TITLES: Readonly<Record<string, string>> = {
  warm: "Warm: one identity",
  many: "Warm: many identities",
  cold: "Cold: every token is verified",
  policies: "What the policies ask for",
  latency: "Latency at a given rate, counted from the moment a request was due",
  events: "Disturbances under load, at a quarter of saturation",
};

/** The tables of one report: medians of the rounds, with half of the range where it tells something. */
export function tablesOf(report: Report): readonly Table[] {
  const sections = [...new Set(report.results.map(({ section }) => section))];
  const tables = sections.map((section) => {
    const results = report.results.filter((result) => result.section === section);
    return {
      title: TITLES[section] ?? section,
      rows: [HEAD, ...results.map((result) => cellsOf(result, report.results))],
    };
  });
  return report.facts.length === 0 ? tables : [...tables, factTable(report.facts)];
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
    ...[timesPlain(result, all), agent ? typical(result, "memory").toFixed(0) : ""],
  ];
}

function withSpread(result: Result, name: Column, digits: number): string {
  const values = column(result, name);
  return `${median(values).toFixed(digits)} ± ${spread(values).toFixed(digits)}`;
}

/** CPU a request of all processes, in terms of plain HAProxy's of the same section and connections. */
function timesPlain(result: Result, all: readonly Result[]): string {
  const plain = all.find(({ section, connections, contestant }) => {
    return contestant === "plain HAProxy" && section === result.section && connections === result.connections;
  });
  return plain === undefined ? "" : (typical(result, "both") / typical(plain, "both")).toFixed(2);
}

function factTable(facts: readonly Fact[]): Table {
  const rows = facts.map(({ name, unit, values }) => {
    return [name, `${median(values).toFixed(1)} ± ${spread(values).toFixed(1)} ${unit}`];
  });
  return { title: "Memory and start", rows: [["what", "measured"], ...rows] };
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
