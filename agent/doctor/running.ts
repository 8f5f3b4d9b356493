import type { Finding } from "./finding.ts";
import type { Endpoint, Sources } from "./sources.ts";

/** Milliseconds of difference that clocks may have: a Date header has whole seconds, and the way takes some. */
const SKEW = 5_000;

/** The running agent against the files, and by what it says of itself. */
export function agentFindings({ agent, revision }: Sources): readonly Finding[] {
  if (agent === undefined) return [];
  const { url: at, content } = agent;
  const found: Finding[] = content.problems.map((problem) => ({
    at,
    found: problem,
    causes: "what it is about does not count, or is refused",
    remedy: "see the agent's log, and `countersign check`",
  }));
  if (content.phase !== "serving") {
    found.push({
      at,
      found: `it is ${content.phase}`,
      causes: "HAProxy refuses with agent-unavailable",
      remedy: "see its log",
    });
  }
  if (content.revision !== revision) {
    found.push({
      at,
      found: `it judges by revision ${content.revision}, and these files are ${revision}`,
      causes: "what was changed last does not count, or this is another agent's configuration",
      remedy: "see its log for a reload that failed; or give this command the agent's own files",
    });
  }
  if (content.pipeliningAdvice !== null) {
    const causes = "agent and HAProxy use half as much CPU again for each request";
    found.push({
      at,
      found: content.pipeliningAdvice,
      causes,
      remedy: "`countersign generate haproxy`, and reload HAProxy",
    });
  }
  if (content.linesDropped > 0) {
    const causes = "decisions are missing in the log";
    found.push({
      at,
      found: `${content.linesDropped} log lines were dropped`,
      causes,
      remedy: "whoever reads its output reads too slowly",
    });
  }
  return found;
}

/** Clocks that would make good tokens and certificates look as if they were not. */
export function clockFindings({ agent, proxy, issuers, config }: Sources): readonly Finding[] {
  const tolerance = Math.min(
    ...config.issuers.flatMap((issuer) => ("clockTolerance" in issuer ? Number(issuer.clockTolerance) : [])),
    60_000,
  );
  return [
    ...skew(agent, SKEW, "tokens are refused as expired or not yet valid, and assertions end early"),
    ...skew(proxy, SKEW, "mesh certificates are not yet, or no longer, valid there"),
    ...(issuers ?? []).flatMap((issuer) =>
      skew(
        issuer,
        Math.max(SKEW, tolerance),
        "its fresh tokens are refused: `token-not-yet-valid`, or `token-expired` early",
      ),
    ),
  ];
}

function skew(endpoint: Endpoint<unknown> | undefined, most: number, causes: string): readonly Finding[] {
  if (endpoint?.skew === undefined || Math.abs(endpoint.skew) <= most) return [];
  const seconds = Math.round(endpoint.skew / 1000);
  const found = `its clock is ${Math.abs(seconds)} s ${seconds > 0 ? "ahead of" : "behind"} this machine's`;
  return [{ at: endpoint.url, found, causes, remedy: "NTP on both; see whose clock is wrong" }];
}
