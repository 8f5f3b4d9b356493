import { styleText } from "node:util";
import type { Outcome, Row } from "./rows.ts";

type Style = Parameters<typeof styleText>[0];

/** Widths of the columns; with the mark in front a line has 100 characters. */
const WIDTHS = [24, 27, 20, 27] as const;

/** Colours on a terminal that wants them, and nothing elsewhere (NO_COLOR, pipes). */
export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

export function tableHead(): string {
  return lines(" ", [["WHO ASKS"], ["FOR WHAT"], ["VERDICT, AND WHY"], ["WHAT THE BACKEND GETS"]], ["bold"]);
}

/** What of a row is told. */
type Told = Pick<Row, "who" | "kind" | "method" | "path" | "host" | "headers">;

/** A row as two lines or more, with what differs from what was expected beneath it. */
export function tableRow(row: Told, outcome: Outcome, wrong: readonly string[]): string {
  const allowed = outcome.status === 200;
  const mark = wrong.length === 0 ? paint("green", "✓") : paint("red", "✗");
  const cells = [
    [row.who, row.kind],
    [`${row.method} ${row.path}`, row.host, ...spoofed(row)],
    [verdictOf(outcome), outcome.reason === "allowed" ? outcome.rule : outcome.reason],
    arrived(outcome),
  ];
  const table = lines(mark, cells, ["bold", "cyan", allowed ? "green" : "yellow", "none"]);
  return [table, ...wrong.map((line) => paint("red", `  ${line}`))].join("\n");
}

export function tableFoot(rows: number, unexpected: number): string {
  if (unexpected === 0) return paint("green", `All ${rows} as expected.`);
  return paint("red", `${unexpected} of ${rows} not as expected.`);
}

function verdictOf({ status }: Outcome): string {
  if (status === 303) return "sent to sign in";
  return status === 200 ? "allowed" : `refused ${status}`;
}

function spoofed({ headers = {} }: Told): readonly string[] {
  return Object.entries(headers)
    .filter(([name]) => name.startsWith("x-auth-"))
    .map(([name, value]) => `${name}: ${value}`);
}

function arrived({ received: [headers] }: Outcome): readonly string[] {
  if (headers === undefined) return ["nothing"];
  const names = Object.keys(headers).sort((a, b) => (a < b ? 1 : -1));
  if (names.length === 0) return ["the request, no identity"];
  return names.flatMap((name) => wrapped(`${name}: ${headers[name]}`, WIDTHS[3]));
}

/** Cut after colons and slashes, as names have them, and after commas, where it has to be. */
function wrapped(text: string, width: number): readonly string[] {
  const cut: string[] = [];
  let line = "";
  for (const piece of text.split(/(?<=,|: |::|\/)/)) {
    if (line !== "" && line.length + piece.length > width) {
      cut.push(line);
      line = "  ";
    }
    line += piece;
  }
  return [...cut, line];
}

/** Cells side by side; the first line of each has the column's style, the others are dim. */
function lines(mark: string, cells: readonly (readonly string[])[], styles: readonly string[]): string {
  const height = Math.max(...cells.map((cell) => cell.length));
  return Array.from({ length: height }, (_, line) => {
    const texts = cells.map((cell, column) => {
      const text = (cell[line] ?? "").padEnd(column < 3 ? (WIDTHS[column] ?? 0) : 0);
      return paint(line === 0 ? ((styles[column] ?? "bold") as Style) : "dim", text);
    });
    return `${line === 0 ? mark : " "} ${texts.join("")}`.trimEnd();
  }).join("\n");
}
