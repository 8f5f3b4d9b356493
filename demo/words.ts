import { LOGS } from "./part.ts";
import { originOf } from "./people.ts";
import { CONFIGURATION, type Places } from "./places.ts";
import { paint } from "./table.ts";

export const USAGE = `usage: npm run demo [-- --once | -- --mesh]

Starts three identity providers, two backends, an MCP server, the Countersign agent and HAProxy on 127.0.0.1, shows
what they make of some requests, of a client of MCP and of somebody's browser, and stays up until Ctrl-C.

  --once   ends after the requests; exit code 0 if every one went as expected, else 1
  --mesh   starts nothing: shows what a Linkerd mesh is told of a policy, and what
           is found where a cluster says otherwise`;

export const GREETING = `
Each request goes to ${paint("bold", "HAProxy")}, which asks ${paint("bold", "Countersign")}: who is this, and may they? Tokens are those of
real OpenID providers, and of AWS, for which a stand-in answers. policies/examples/ says who may do
what, and what is refused never reaches a backend. Nothing here leaves this machine.
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
  curl -i --cert demo/certificates/scanner.pem --cacert demo/certificates/devices-authority.pem \\
    --resolve orders.example.com:${places.tls}:127.0.0.1 https://orders.example.com:${places.tls}/v1/orders/42

${paint("bold", "Sign in.")} In a browser on this machine, as alice or by any other name, with any password. It warns of the
certificate, which only this demo vouches for; go on all the same. The second address signs you out.

  ${originOf(places)}/welcome
  ${originOf(places)}/.countersign/logout

${paint("bold", "Ask why.")} In the repository:

  echo $assistant | npx node agent/main.ts explain --config ${CONFIGURATION} \\
    --token-file /dev/stdin "POST http://orders.example.com/v1/orders/42/cancel"

${paint("bold", "Change a rule.")} Edit policies/examples/orders.yaml, save it, and ask again. A broken file changes
nothing; the agent's log says what is wrong with it. The rules have test cases, too:

  npx node agent/main.ts test --config ${CONFIGURATION}

${paint("bold", "Look inside.")}

  tail -f ${LOGS}/agent.log       every decision, with its rule and reason
  tail -f ${LOGS}/haproxy.log     every request, with the same request_id
  curl 127.0.0.1:${places.admin}/status        the agent; its numbers are at /metrics

Ctrl-C ends it all.`;
}
