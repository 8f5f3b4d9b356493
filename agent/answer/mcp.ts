import { isMapping } from "../../policies/claim-path.ts";
import type { Reason } from "../../policies/decision.ts";
import { folded } from "../../policies/folded.ts";
import { CALL } from "../../policies/judging/mcp.ts";
import type { McpMessage } from "../../policies/request.ts";
import { parseMessage } from "../http/json.ts";

/** What is known of a request to an MCP server (Model Context Protocol, Streamable HTTP). */
export interface McpRequest {
  readonly method: string;
  /** By lower-case name; of none there are two (haproxy/frontend-rules.ts). */
  readonly headers: Readonly<Record<string, string>>;
  /** As much of it as HAProxy has kept; undefined where it has read none. */
  readonly body: Buffer | undefined;
}

/** Levels of JSON that a message has at most. */
const DEEPEST = 64;
/** Protocol versions of which a server holds bodies to their headers (SEP-2243). A later one may not. */
const MIRRORED: ReadonlySet<string> = new Set(["2026-07-28"]);
const JSON_TYPE = /^application\/json(?:[ \t]*;[ \t]*charset=(?:utf-8|"utf-8"))?$/i;
/** A method or a tool: printable ASCII without blanks. */
const NAME = /^[!-~]{1,128}$/;
const ENCODED = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/;
const MEMBERS: ReadonlySet<string> = new Set(["jsonrpc", "id", "method", "params", "result", "error"]);

/**
 * What a request says to an MCP server, or why that cannot be told. Headers alone say nothing that a backend has to
 * obey, so it is the body that counts, and only a whole one that every reader reads alike.
 */
export function mcpMessageOf({ method, headers, body }: McpRequest): McpMessage | Reason {
  // A WebSocket's (haproxy/frontend-rules.ts): what is said in it nobody judges.
  if (body === undefined || headers.upgrade !== undefined) return "mcp-body-unread";
  if (method !== "POST") return bodiless(headers, body);
  const type = headers["content-type"] ?? "";
  if (!JSON_TYPE.test(type)) return "mcp-body-malformed";
  if (headers["content-encoding"] !== undefined) return "mcp-body-unread";
  if (headers["content-length"] === undefined || Number(headers["content-length"]) !== body.length)
    return byHeaders(headers);
  const message = read(body);
  if (message === undefined) return "mcp-body-malformed";
  return agrees(message, headers) ? message : "mcp-header-mismatch";
}

/** The stream that a client opens by GET, and the end of a session by DELETE, say nothing else. */
function bodiless(headers: McpRequest["headers"], body: Buffer): McpMessage | Reason {
  if (body.length > 0 || Number(headers["content-length"] ?? 0) !== 0) return "mcp-body-malformed";
  const mirrored = headers["mcp-method"] !== undefined || headers["mcp-name"] !== undefined;
  return mirrored ? "mcp-header-mismatch" : { method: undefined, tool: undefined, by: "body" };
}

/** JSON-RPC 2.0, sections 4 and 5: a request, a notification or a response, and nothing of two of them. */
function read(body: Buffer): McpMessage | undefined {
  const message = parseMessage(body, DEEPEST);
  if (message?.jsonrpc !== "2.0" || !Object.keys(message).every((name) => MEMBERS.has(name))) return undefined;
  const { id, method, params } = message;
  const answers = ["result", "error"].filter((name) => Object.hasOwn(message, name)).length;
  if (!(typeof id === "string" || Number.isSafeInteger(id) || (id === undefined && method !== undefined)))
    return undefined;
  if (method === undefined)
    return answers === 1 && params === undefined ? { method, tool: undefined, by: "body" } : undefined;
  if (answers > 0 || !isMethod(method) || !(params === undefined || isMapping(params))) return undefined;
  if (method !== CALL) return { method, tool: undefined, by: "body" };
  const tool = toolOf(params ?? {});
  return tool === undefined ? undefined : { method, tool, by: "body" };
}

function isMethod(method: unknown): method is string {
  return typeof method === "string" && NAME.test(method) && (method === CALL || folded(method) !== folded(CALL));
}

/** Its one name: none beside it that some reader takes for `name`. */
function toolOf(params: Readonly<Record<string, unknown>>): string | undefined {
  const { name } = params;
  const alike = Object.keys(params).filter((each) => folded(each) === "name");
  return alike.length === 1 && typeof name === "string" && NAME.test(name) ? name : undefined;
}

/** A server that goes by the headers is not told of another tool than one that goes by the body. */
function agrees({ method, tool }: McpMessage, headers: McpRequest["headers"]): boolean {
  const [said, name] = [headers["mcp-method"], headers["mcp-name"]];
  if (said !== undefined && said !== method) return false;
  return tool === undefined || name === undefined || decoded(name) === tool;
}

/** Of a body that cannot be read. It counts only where the policy says that the server holds bodies to their headers. */
function byHeaders(headers: McpRequest["headers"]): McpMessage | Reason {
  const [version = "", method, name] = [
    headers["mcp-protocol-version"],
    headers["mcp-method"],
    headers["mcp-name"] ?? "",
  ];
  if (!MIRRORED.has(version) || !isMethod(method)) return "mcp-body-unread";
  const tool = method === CALL ? decoded(name) : undefined;
  return method === CALL && tool === undefined ? "mcp-body-unread" : { method, tool, by: "headers" };
}

/** A name as a header has it (SEP-2243); undefined where no reader should have to guess. */
function decoded(value: string): string | undefined {
  const [, base64] = ENCODED.exec(value) ?? [];
  if (base64 === undefined) return NAME.test(value) && !value.startsWith("=?") ? value : undefined;
  const bytes = Buffer.from(base64, "base64");
  const name = bytes.toString("latin1");
  return bytes.toString("base64") === base64 && NAME.test(name) ? name : undefined;
}
