import type { CheckReport } from "./check.ts";
import type { Finding, Level } from "./finding.ts";

const PREFIX: Readonly<Record<Level, string>> = { fault: "", unproven: "not proven: ", warning: "warning: " };

/** The findings for a terminal: one line each, and below it the other lines that have to do with it. */
export function findingsText(findings: readonly Finding[]): string {
  return findings.map(findingText).join("");
}

function findingText({ level, file, line, column, found, right, example, also, when }: Finding): string {
  const only = when.length === 0 ? "" : ` (where ${when.join(" and ")})`;
  const request = example === undefined ? "" : `, for example ${example}`;
  const notes = also.map((note) => `    ${note.file}:${note.line}:${note.column}: ${note.note}\n`);
  return `${PREFIX[level]}${file}:${line}:${column}: ${found}${only}${request}; ${right}\n${notes.join("")}`;
}

/** One line that says what was looked at, and what is proven of it. */
export function summaryText({ findings, worlds, lines, guarded, perhaps, unread }: CheckReport): string {
  const count = (level: Level) => findings.filter((finding) => finding.level === level).length;
  const [faults, unproven] = [count("fault"), count("unproven")];
  const verdict =
    faults + unproven === 0
      ? "proven: no request reaches a protected backend without a verdict for it"
      : `faults: ${faults}, not proven: ${unproven}`;
  const read = `Lines: ${lines}${unread === 0 ? "" : `, of which ${unread} are not understood`}; ways to read them: ${worlds}.`;
  const names = guarded.length === 0 ? "nothing" : guarded.join(", ");
  const others = perhaps.length === 0 ? "" : `; perhaps, as no policies name them: ${perhaps.join(", ")}`;
  return `HAProxy: ${verdict}. Protected: ${names}${others}. ${read}\n`;
}

/** What each code of a finding is about. docs/check-haproxy.md explains them; a test holds both equal. */
export const RULES: Readonly<Record<string, string>> = {
  gate: "A request reaches a protected backend without a verdict for it",
  rewrite: "What is forwarded is not what was judged",
  identity: "A client can say who it is",
  choice: "The client chooses the backend or the server",
  question: "The agent is told something else than is forwarded",
  mode: "A TCP stream meets no HTTP rule",
  cache: "A cached answer reaches somebody who was not judged",
  source: "A client can say where it comes from",
  mesh: "A client can say who it is in the mesh",
  channel: "Somebody else can answer for the agent, or nobody is asked",
  parser: "HAProxy's parser was loosened",
  "early-data": "A request can be replayed",
  runtime: "Others can change HAProxy while it runs",
  tunnel: "A tunnel without verdicts can be opened",
  trailers: "Trailers reach the backend",
  script: "A script of one's own can do anything",
  unknown: "A line is not understood",
  missing: "A file cannot be read",
  backend: "A backend is not in these files",
  id: "The request's id may not be its own",
  bound: "Too much to decide",
  syntax: "HAProxy does not load the file",
};
const LEVELS: Readonly<Record<Level, string>> = { fault: "error", unproven: "warning", warning: "note" };

/** The findings as SARIF 2.1.0, which code reviews show beside the lines. @param version of Countersign */
export function sarifOf({ findings }: CheckReport, version: string): unknown {
  const used = [...new Set(findings.map(({ code }) => code))].sort();
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: {
          driver: {
            name: "countersign",
            version,
            rules: used.map((id) => ({ id, shortDescription: { text: RULES[id] ?? id } })),
          },
        },
        columnKind: "unicodeCodePoints",
        results: findings.map((finding) => ({
          ruleId: finding.code,
          level: LEVELS[finding.level],
          message: { text: messageText(finding) },
          locations: [location(finding)],
          relatedLocations: finding.also.map((note) => ({ ...location(note), message: { text: note.note } })),
        })),
      },
    ],
  };
}

function messageText({ level, found, right, example, when }: Finding): string {
  const only = when.length === 0 ? "" : ` (where ${when.join(" and ")})`;
  const request = example === undefined ? "" : ` For example: ${example}.`;
  return `${PREFIX[level]}${found}${only}.${request} Write instead: ${right}`;
}

function location({ file, line, column }: { readonly file: string; readonly line: number; readonly column: number }) {
  const uri = file.split("/").map(encodeURIComponent).join("/");
  return { physicalLocation: { artifactLocation: { uri }, region: { startLine: line, startColumn: column } } };
}
