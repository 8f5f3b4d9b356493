/** A JSON-RPC request, as a client of MCP writes it. */
export function rpc(method: string, params?: object): string {
  return JSON.stringify({ jsonrpc: "2.0", id: 1, method, ...(params !== undefined && { params }) });
}

export const LIST = rpc("tools/list");

/** A call of a tool. */
export function call(name: string): string {
  return rpc("tools/call", { name, arguments: { x: "1" } });
}
