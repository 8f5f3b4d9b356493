import type { Reason } from "../decision.ts";
import { folded } from "../folded.ts";
import type { PolicyRequest } from "../request.ts";
import type { Role } from "./roles.ts";

/** The JSON-RPC method that calls a tool; its `params.name` says which. */
export const CALL = "tools/call";
/** What stands for all tools that are not named. */
export const OTHERS = "*";

/** What a tool asks of who calls it, beside what its route asks. */
export interface ToolRule {
  /** Any one of these roles; undefined where the route's are enough. */
  readonly allow: readonly Role[] | undefined;
  /** All of these. */
  readonly scopes: readonly string[];
}

/** What a message asks beside its route; or why nobody may send it. */
export type Asked = ToolRule | Reason;

/** Of what calls no tool, and where nothing is said of tools. */
export const NOTHING_MORE: ToolRule = { allow: undefined, scopes: [] };

/** What may be sent to an MCP server on a route. */
export class McpRule {
  readonly methods: readonly string[] | undefined;
  readonly tools: ReadonlyMap<string, ToolRule> | undefined;
  /** The backend is known to hold bodies to their headers, where the protocol version has it so. */
  readonly headers: boolean;
  /** As the policy has it. */
  readonly text: string;
  readonly #folded: ReadonlySet<string>;

  constructor({ methods, tools, headers, text }: Pick<McpRule, "methods" | "tools" | "headers" | "text">) {
    this.text = text;
    this.methods = methods;
    this.tools = tools;
    this.headers = headers;
    this.#folded = new Set([...(tools?.keys() ?? [])].map(folded));
  }

  /** What a request asks of who sends it. */
  asked({ mcp = "mcp-body-unread" }: Pick<PolicyRequest, "mcp">): Asked {
    if (typeof mcp === "string") return mcp;
    if (mcp.by === "headers" && !this.headers) return "mcp-body-unread";
    const { method, tool } = mcp;
    if (method === undefined) return NOTHING_MORE;
    if (!this.#takes(method)) return "mcp-method-not-allowed";
    if (method !== CALL || this.tools === undefined) return NOTHING_MORE;
    return this.#tool(tool) ?? "mcp-tool-not-allowed";
  }

  #takes(method: string): boolean {
    const { methods } = this;
    if (methods === undefined || methods.includes(method)) return true;
    return methods.some((each) => each.endsWith("/*") && method.startsWith(each.slice(0, -1)));
  }

  /** A name that a backend could take for one that has a rule of its own is none of the others. */
  #tool(name: string | undefined): ToolRule | undefined {
    if (name === undefined) return undefined;
    return this.tools?.get(name) ?? (this.#folded.has(folded(name)) ? undefined : this.tools?.get(OTHERS));
  }
}
