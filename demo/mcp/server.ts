import type { IncomingHttpHeaders, RequestListener } from "node:http";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { type Front, startFront } from "../front.ts";

/** An MCP server that knows nothing of tokens: whoever reaches it may use its tools. */
export interface NotesServer {
  readonly url: string;
  /** The headers of all requests that reached it, in order. */
  readonly received: readonly IncomingHttpHeaders[];
  close(): Promise<void>;
}

/** Starts it on 127.0.0.1, with a tool to read notes and one to delete them. @param port default: a free one */
export async function startNotes(port = 0): Promise<NotesServer> {
  const received: IncomingHttpHeaders[] = [];
  const handle = toNodeHandler(createMcpHandler(newServer)) as RequestListener;
  const front: Front = await startFront(
    (request, response) => {
      received.push(request.headers);
      handle(request, response);
    },
    { port },
  );
  return { url: front.url, received, close: () => front.close() };
}

function newServer(): McpServer {
  const server = new McpServer({ name: "notes", version: "1.0.0" });
  const answer = (text: string) => () => ({ content: [{ type: "text" as const, text }] });
  server.registerTool("read_notes", { description: "reads all notes" }, answer("buy milk"));
  server.registerTool("delete_notes", { description: "deletes all notes" }, answer("deleted"));
  return server;
}
