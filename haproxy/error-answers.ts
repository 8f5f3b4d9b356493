import { LOGIN_PATH, STYLE_PATH } from "./input.ts";
import { inTransaction, OWN } from "./variables.ts";

/** The statuses of a refusal and their names (RFC 9110, section 15). */
const TITLES = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  503: "Service Unavailable",
} as const;

export type RefusalStatus = keyof typeof TITLES;

/** The body's shape: HTML for a client whose Accept begins with text/html, RFC 9457 problem details for all others. */
export type AnswerFormat = "html" | "json";

// Reason codes are [a-z-] only and the id is HAProxy's own: nothing that a client sent gets into a body.
const REASON = `%[var(${inTransaction("reason")})]`;
/** Where a login would help; what was sealed has letters, digits, `-`, `_` and dots. */
const LOGIN = `${LOGIN_PATH}%[var(${OWN.step})]`;
const REQUEST_ID = `%[var(${OWN.id})]`;

/**
 * The part of an `http-request deny` rule that says what is answered.
 *
 * `hdr` emits nothing for an absent variable, so a challenge is sent where the agent gave one (RFC 6750, section 3).
 * The same holds for the nonce of DPoP proofs (RFC 9449, section 8).
 * Where a login would help, a body says where that is: by a link for a person, whose page may be in a frame.
 * A 503 always carries Retry-After: whatever the cause, asking again in a second is right.
 */
export function errorAnswer(status: RefusalStatus, format: AnswerFormat, nonces = false, login = false): string {
  const type = format === "html" ? '"text/html; charset=utf-8"' : "application/problem+json";
  const headers = ["hdr cache-control no-store"];
  if (status === 401 || status === 403) headers.push(`hdr www-authenticate %[var(${inTransaction("challenge")})]`);
  if (nonces && (status === 401 || status === 403)) headers.push(`hdr dpop-nonce %[var(${inTransaction("nonce")})]`);
  if (status === 503) headers.push("hdr retry-after 1");
  const body = format === "html" ? htmlBody(status, login) : jsonBody(status, login);
  return `deny_status ${status} content-type ${type} ${headers.join(" ")} lf-string '${body}'`;
}

/** RFC 9457, section 3; `about:blank` says that the title is the status' own name (section 4.2.1). */
function jsonBody(status: RefusalStatus, login: boolean): string {
  const where = login ? `,"login":"${LOGIN}"` : "";
  return `{"type":"about:blank","title":"${TITLES[status]}","status":${status},"reason":"${REASON}","request_id":"${REQUEST_ID}"${where}}`;
}

function htmlBody(status: RefusalStatus, login: boolean): string {
  const link = login ? `<p><a href="${LOGIN}" target="_top">Sign in</a></p>` : "";
  const title = `${status} ${TITLES[status]}`;
  const style = login ? `<link rel="stylesheet" href="${STYLE_PATH}">` : "";
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title>${style}<h1>${title}</h1>${link}<p>Reason: ${REASON}</p><p>Request: ${REQUEST_ID}</p></html>`;
}
