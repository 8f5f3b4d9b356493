import { join } from "node:path";
import { AUDIENCE } from "../issuer.ts";
import { accepts, freePort } from "../processes.ts";
import { type Contestant, Missing } from "../stage.ts";
import { startWritten } from "./written.ts";

const NAME = "oauth2-proxy, auth-request.lua";

/** Forward authentication: HAProxy asks oauth2-proxy by an HTTP subrequest, which verifies the bearer token each time. */
export const OAUTH2_PROXY: Contestant = {
  name: NAME,
  async start(stage) {
    const { oauth2Proxy, lua } = stage.given;
    if (oauth2Proxy === undefined || lua === undefined) throw new Missing("give --oauth2-proxy and --lua");
    const [port, agentPort] = [await freePort(), await freePort()];
    const env = { ...process.env, GOMAXPROCS: String(stage.cores) };
    const agent = stage.processes.start(oauth2Proxy, argumentsOf(stage.issuer.url, agentPort), { env });
    await agent.until(() => accepts({ host: "127.0.0.1", port: agentPort }));
    const haproxy = await startWritten(stage, NAME, port, {
      global: [`lua-prepend-path ${join(lua, "?.lua")}`, `lua-load-per-thread ${join(lua, "auth-request.lua")}`],
      rules: [
        "http-request del-header x-auth- -m beg",
        "http-request lua.auth-intercept forward-auth /oauth2/auth HEAD authorization x-auth-request-* -",
        "http-request deny deny_status 401 unless { var(txn.auth_response_successful) -m bool }",
        "http-request del-header authorization",
      ],
      sections: `backend forward-auth\n    server oauth2-proxy 127.0.0.1:${agentPort} check\n`,
    });
    return { port, haproxy, agent };
  },
};

/** Without its own request logs: the other contestants' agents log refusals only. */
function argumentsOf(issuer: string, port: number): readonly string[] {
  return [
    ...[`--http-address=127.0.0.1:${port}`, "--upstream=static://200", "--reverse-proxy", "--set-xauthrequest"],
    ...["--provider=oidc", `--oidc-issuer-url=${issuer}`, `--client-id=${AUDIENCE}`, "--client-secret=unused"],
    ...["--skip-jwt-bearer-tokens", "--oidc-email-claim=sub", "--email-domain=*", "--cookie-secret=0123456789abcdef"],
    ...["--request-logging=false", "--auth-logging=false"],
  ];
}
