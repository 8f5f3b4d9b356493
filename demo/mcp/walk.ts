import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client";
import type { Reason } from "../../policies/decision.ts";
import { logged, requestId, tellingHeaders } from "../ask.ts";
import type { Outcome, Row } from "../rows.ts";
import { logIn, Memory } from "./client.ts";
import type { NotesServer } from "./server.ts";

/** One step of a client that was given a URL and nothing else, and what must come of it. */
export interface Step extends Omit<Row, "credential" | "reason"> {
  /** Empty where nobody judged it. */
  readonly reason: Reason | "";
  /** Which of its requests it is: its JSON-RPC method or tool, or the answer that it got. */
  readonly request: "401" | "metadata" | "tools/list" | "read_notes" | "delete_notes";
}

const COPILOT = { who: "copilot", host: "an MCP server", method: "POST", path: "/notes", rule: "notes/mcp" } as const;
const ALLOWED = { status: 200, reason: "allowed", received: { "x-auth-subject": "alice" } } as const;

/** What the demo shows of it; policies/examples/notes.yaml decides it. */
export const STEPS: readonly Step[] = [
  { ...COPILOT, kind: "knows a URL, no more", request: "401", status: 401, reason: "credential-missing" },
  {
    ...COPILOT,
    kind: "asks where tokens are",
    request: "metadata",
    method: "GET",
    path: "/.well-known/…/notes",
    host: "HAProxy itself",
    status: 200,
    reason: "",
    rule: "",
  },
  { ...COPILOT, kind: "for alice, logged in", host: "tools/list", request: "tools/list", ...ALLOWED },
  { ...COPILOT, kind: "for alice", host: "the tool read_notes", request: "read_notes", ...ALLOWED },
  {
    ...COPILOT,
    kind: "for alice",
    host: "the tool delete_notes",
    request: "delete_notes",
    status: 403,
    reason: "role-missing",
  },
];

/** A request that the client made, and its answer. */
interface Asked {
  readonly request: string;
  readonly status: number;
  /** HAProxy's id of it; empty where none is told. */
  readonly id: string;
  readonly received: readonly Readonly<Record<string, string>>[];
}

const NEVER: Outcome = { status: 0, reason: "it was never asked", rule: "", received: [] };

/**
 * Walks an SDK's client from the URL to its tools: it finds the authorization server, registers there, has its user log
 * in, and uses two tools.
 *
 * @param log HAProxy's
 * @returns what came of each of STEPS
 */
export async function walk(url: string, notes: NotesServer, log: string): Promise<readonly Outcome[]> {
  const all: Asked[] = [];
  const fetchAsked = async (input: string | URL, init?: RequestInit) => {
    const before = notes.received.length;
    const response = await fetch(input, init);
    if (new URL(input).origin === new URL(url).origin) {
      const received = notes.received.slice(before);
      const id = String(received[0]?.["x-request-id"] ?? requestId(await response.clone().text()));
      all.push({
        request: nameOf(new URL(input), init),
        status: response.status,
        id,
        received: received.map(tellingHeaders),
      });
    }
    return response;
  };
  const memory = new Memory();
  const connect = async () => {
    const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: memory, fetch: fetchAsked });
    const client = new Client({ name: "copilot", version: "1.0.0" }, { versionNegotiation: { mode: "auto" } });
    const connected = client.connect(transport).then(() => client);
    return { transport, connected };
  };
  const first = await connect();
  const client = await first.connected.catch(async (error: unknown) => {
    if (!(error instanceof UnauthorizedError) || memory.login === undefined) throw error;
    await first.transport.finishAuth(await logIn(memory.login));
    return (await connect()).connected;
  });
  await client.listTools();
  await client.callTool({ name: "read_notes" });
  // It is refused, which the client tells by throwing.
  await client.callTool({ name: "delete_notes" }).catch(() => {});
  await client.close();
  return await Promise.all(STEPS.map((step) => outcomeOf(step, all, log)));
}

function nameOf({ pathname }: URL, init: RequestInit | undefined): string {
  if (pathname.startsWith("/.well-known/oauth-protected-resource")) return "metadata";
  if (typeof init?.body !== "string") return "";
  const { method, params } = JSON.parse(init.body) as { method: string; params?: { name?: string } };
  return method === "tools/call" ? (params?.name ?? "") : method;
}

async function outcomeOf({ request }: Step, all: readonly Asked[], log: string): Promise<Outcome> {
  const asked = all.find((each) => each.request === request || String(each.status) === request);
  if (asked === undefined) return NEVER;
  const { status, id, received } = asked;
  const { reason, rule } = request === "metadata" ? { reason: "", rule: "" } : await logged(log, id);
  return { status, reason, rule, received };
}
