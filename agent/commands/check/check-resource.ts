import { type Context, type Options, UsageError } from "../command.ts";
import type { ResourceReport } from "./resource/resource.ts";

/** The option of `check` that is about a running API. */
export const RESOURCE_OPTION = {
  resource: {
    type: "string",
    multiple: true,
    value: "URL",
    help: "ask a running API as a client does that knows only this URL; several",
  },
} as const;

/** What `--resource` names. @throws UsageError */
export function resourceUrls(options: Options): readonly URL[] {
  const named = Array.isArray(options.resource) ? options.resource.map(String) : [];
  return named.map((text) => {
    const url = URL.parse(text);
    if (url !== null && /^https?:$/.test(url.protocol) && url.username === "") return url;
    throw new UsageError(`--resource: ${JSON.stringify(text)} is no URL such as https://mcp.example.com/mcp`);
  });
}

export function isFaulty({ findings }: ResourceReport): boolean {
  return findings.some(({ level }) => level === "fault");
}

/** One line a finding, and what came of it. */
export function tellResource(report: ResourceReport, context: Context): void {
  for (const { level, at, found, right } of report.findings)
    context.err(`${level === "warning" ? "warning: " : ""}${at}: ${found}; ${right}\n`);
  const outcome = isFaulty(report)
    ? "clients do not find out where to get a token, or not all of them"
    : "a client that knows only this URL gets as far as the login";
  context.out(`${report.url}: ${outcome}.\n`);
}
