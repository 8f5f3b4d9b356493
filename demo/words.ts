import type { Places } from "./places.ts";
import { paint } from "./table.ts";

export const USAGE = `usage: npm run demo [-- --once]

Starts an identity provider, two backends, the Countersign agent and HAProxy on 127.0.0.1, shows what they make of
some requests, and stays up until Ctrl-C.

  --once   ends after the requests; exit code 0 if every one went as expected, else 1`;

export const GREETING = `
A client's request goes to ${paint("bold", "HAProxy")}, which asks ${paint("bold", "Countersign")}: who is this, and may they? Tokens are of a real OpenID
provider, and policies/examples/ says who may do what. What is refused never reaches a backend.
`;

/** What to try while the demo is up. */
export function invitation(places: Places, tokens: Readonly<Record<string, string>>): string {
  const curl = (method: string, host: string, path: string, token?: string) => {
    const verb = method === "GET" ? "" : ` -X ${method}`;
    const credential = token === undefined ? "" : ` --oauth2-bearer $${token}`;
    return `  curl -i${verb}${credential} -H host:${host}.example.com 127.0.0.1:${places.haproxy}${path}`;
  };
  return `
${paint("bold", "Ask yourself.")} In another terminal, with fresh tokens, good for an hour:

${Object.entries(tokens)
  .map(([name, token]) => `${name}=${token}`)
  .join("\n")}

${curl("GET", "orders", "/v1/orders/42")}
${curl("GET", "orders", "/v1/orders/42", "alice")}
${curl("POST", "orders", "/v1/orders/42/cancel", "alice")}
${curl("POST", "orders", "/v1/orders/42/cancel", "carol")}
${curl("POST", "orders", "/v1/orders/42/cancel", "assistant")}
${curl("GET", "files", "/home/alice/notes.txt", "alice")}

${paint("bold", "Change a rule.")} Edit policies/examples/orders.yaml while this runs, save it, and ask again.

${paint("bold", "Look inside.")}
  every decision    tail -f .cache/demo/agent.log
  every request     tail -f .cache/demo/haproxy.log
  the agent         curl http://127.0.0.1:${places.admin}/status     curl http://127.0.0.1:${places.admin}/metrics

Ctrl-C ends it all.`;
}
