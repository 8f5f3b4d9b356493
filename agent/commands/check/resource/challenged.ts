import type { HttpAnswer, Send } from "../../../http/fetch.ts";
import { ask } from "./ask.ts";
import { readChallenge } from "./challenge.ts";
import type { Findings } from "./finding.ts";

/** What a refusal told. */
export interface Challenged {
  /** Where it says that the metadata is; undefined where it does not. */
  readonly metadata: string | undefined;
  readonly scopes: readonly string[];
}

const NOTHING: Challenged = { metadata: undefined, scopes: [] };

/** The first request of an MCP client; of any API it is one without a token. */
const FIRST = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "countersign check", version: "1" } },
});

/** Asks without a token, as clients do first. */
export async function challenged(send: Send, url: URL, findings: Findings): Promise<Challenged> {
  const answer = await ask(send, url, {
    method: "POST",
    headers: { accept: "application/json, text/event-stream", "content-type": "application/json" },
    body: FIRST,
  });
  const at = url.href;
  if (typeof answer === "string") findings.fault(at, answer, "a server that answers");
  else if (answer.status === 401) return read(at, answer, findings);
  else tellStatus(at, answer.status, findings);
  return NOTHING;
}

function tellStatus(at: string, status: number, findings: Findings): void {
  const found = `without a token the answer has status ${status}`;
  if (status >= 300 && status < 400) findings.fault(at, found, "401: clients follow no redirect, to a login neither");
  else if (status < 300) findings.warn(at, found, "401, if a token is needed: else no client looks for one");
  else findings.fault(at, found, "401: at any other status clients give up");
}

function read(at: string, { headers }: HttpAnswer, findings: Findings): Challenged {
  const text = headers["www-authenticate"];
  if (text === undefined) {
    findings.warn(at, "401 without `WWW-Authenticate`", "a challenge: clients have to guess where the metadata is");
    return NOTHING;
  }
  const { scheme, parameters, searched } = readChallenge(text);
  if (scheme !== "bearer") {
    const right = "`Bearer` first: of a challenge that begins otherwise clients read nothing, and have to guess";
    findings.warn(at, `a challenge that begins with ${JSON.stringify(scheme)}`, right);
    return NOTHING;
  }
  for (const name of ["resource_metadata", "scope", "error"]) {
    if (searched(name) === parameters[name]) continue;
    const found = `\`${name}=\` within another parameter, before or without one of that name`;
    findings.fault(at, found, "descriptions last, and without `=`: clients search the whole challenge");
  }
  if (searched("resource_metadata") === undefined)
    findings.warn(at, "a challenge without `resource_metadata`", "the URL of the metadata: not all clients guess it");
  if (parameters.error !== undefined)
    findings.warn(at, `\`error="${parameters.error}"\` although no token came`, "no `error` (RFC 6750, section 3.1)");
  return { metadata: searched("resource_metadata"), scopes: (searched("scope") ?? "").split(" ").filter(Boolean) };
}
