import { type BenchOptions, SECTIONS } from "./options.ts";
import { machine, writeBetween } from "./page.ts";
import type { Report } from "./results.ts";
import { asMarkdown, tablesOf } from "./tables.ts";

/**
 * Puts the tables of one run into docs/measurements.md, in place of the last ones with as many cores, whatever their
 * HAProxys and sections were: the text says what was measured, and what was not.
 *
 * @param args what was typed
 * @throws Error where the page has no place for them
 */
export function writeMarkdown(reports: readonly Report[], options: BenchOptions, args: readonly string[]): void {
  // Where programs lie is nobody's business.
  const command = ["npm run bench --", ...args.map((arg) => arg.replace(/[^=]*\//, ""))].join(" ");
  const text = [`\`${command}\` ${machine()}.\n${extent(options)}\n`, ...reports.map(chapter)].join("\n");
  writeBetween("measurements.md", `measured with ${options.cores}`, text);
}

/** How much of the benchmark a run was. */
export function extent({ rounds, seconds, sections }: Pick<BenchOptions, "rounds" | "seconds" | "sections">): string {
  const left = SECTIONS.filter((section) => section !== "versions" && !sections.includes(section));
  const rest = left.length === 0 ? "" : `; not measured: ${left.join(", ")}`;
  return `Rounds: ${rounds}, of ${seconds} s each. Sections: ${sections.join(", ")}${rest}.`;
}

function chapter(report: Report): string {
  const missing = Object.entries(report.missing).map(([name, reason]) => `Missing: ${name} (${reason}).\n`);
  const title = `### HAProxy ${report.haproxy}, nbthread ${report.cores}, ${report.agent}\n`;
  return [title, ...tablesOf(report).map(asMarkdown), ...missing, ""].join("\n");
}
