import { isDeepStrictEqual } from "node:util";
import type { Send } from "../../../http/fetch.ts";
import type { Loaded } from "../../../loading/load.ts";
import { documentOf, resourcesOf } from "../../generate/metadata.ts";
import { ask, documentIn } from "./ask.ts";
import { challenged } from "./challenged.ts";
import { Findings, type ResourceFinding } from "./finding.ts";
import { readMetadata } from "./metadata.ts";
import { checkServer } from "./server.ts";

/** What was found of one resource. */
export interface ResourceReport {
  readonly url: string;
  readonly findings: readonly ResourceFinding[];
}

/**
 * Reads of a resource what a client reads that knows its URL and nothing else, up to the login: the SDKs of MCP, and
 * Claude, which compares more. It registers nobody, and shows no token.
 *
 * @param loaded whose policies may have the resource
 */
export async function checkResource(send: Send, url: URL, loaded: Loaded | undefined): Promise<ResourceReport> {
  const findings = new Findings();
  const told = await challenged(send, url, findings);
  const metadata = await readMetadata(send, url, told, findings);
  if (metadata !== undefined) compare(url.href, metadata.document, loaded, findings);
  if (metadata?.server !== undefined)
    await checkServer(send, metadata.server, [...new Set([...told.scopes, ...metadata.scopes])], findings);
  await checkElsewhere(send, url, metadata?.server, findings);
  return { url: url.href, findings: findings.all };
}

/** HAProxy says what it was rendered to say. */
function compare(
  url: string,
  document: Readonly<Record<string, unknown>>,
  loaded: Loaded | undefined,
  findings: Findings,
): void {
  if (loaded === undefined) return;
  const resource = resourcesOf(loaded.policies).find((each) => each.url === url || `${each.url}/` === url);
  if (resource === undefined || isDeepStrictEqual(document, documentOf(resource, loaded.config))) return;
  findings.fault(
    resource.metadata,
    "metadata that is not what these policies say",
    "`countersign generate haproxy`, and reload HAProxy",
  );
}

/** Where clients look that could not read the metadata: a page there is worse than nothing. */
async function checkElsewhere(
  send: Send,
  { origin }: URL,
  server: string | undefined,
  findings: Findings,
): Promise<void> {
  if (server !== undefined && new URL(server).origin === origin) return;
  for (const name of ["oauth-authorization-server", "openid-configuration"]) {
    const at = new URL(`${origin}/.well-known/${name}`);
    const answer = await ask(send, at);
    if (typeof answer === "string" || answer.status !== 200) continue;
    const what = typeof documentIn(answer) === "string" ? "a page" : "another authorization server's metadata";
    findings.warn(at.href, what, "404: some clients look here first, and go by what they find");
  }
}
