import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { AUDIENCE, type Issuer } from "../issuer.ts";
import { HOST, type Request } from "../load/load.ts";
import { accepts, freePort } from "../processes.ts";
import { type Contestant, folderOf, Missing, type Stage } from "../stage.ts";
import type { Traffic } from "../traffic.ts";
import { claimsOf, pathOf } from "./generated.ts";
import { startWritten } from "./written.ts";

const NAME = "criteo/haproxy-spoe-auth, cookie";
const SECRET = "a secret of the benchmark, not of anybody else";

/** The SPOE agent that logs people in by OpenID Connect, with a cookie that it would have set. */
export const CRITEO: Contestant = {
  name: NAME,
  async start(stage) {
    const { criteo } = stage.given;
    if (criteo === undefined) throw new Missing("give --criteo");
    const [port, spop, callback] = [await freePort(), await freePort(), await freePort()];
    const folder = folderOf(stage, NAME);
    writeFileSync(join(folder, "config.yml"), configuration(stage.issuer, spop, callback));
    writeFileSync(join(folder, "spoe.conf"), SPOE);
    const env = { ...process.env, GOMAXPROCS: String(stage.cores) };
    const agent = stage.processes.start(criteo, ["-config", join(folder, "config.yml")], { env });
    await agent.until(() => accepts({ host: "127.0.0.1", port: spop }));
    return { port, agent, haproxy: await startWritten(stage, NAME, port, additions(stage, folder, spop)) };
  },
};

/** One person with the cookie: the ID token, encrypted as the agent does it (AES-256-GCM, the nonce last). */
export const COOKIE: Traffic = { name: "cookie", expect: "allowed", requests: (issuer) => [cookieRequest(issuer)] };

function cookieRequest(issuer: Issuer): Request {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", createHash("sha256").update(SECRET).digest(), nonce);
  const encrypted = [cipher.update(issuer.token("RS256", claimsOf(0))), cipher.final(), cipher.getAuthTag(), nonce];
  return { path: pathOf(10), header: `Cookie: authsession=${Buffer.concat(encrypted).toString("base64")}` };
}

function additions(stage: Stage, folder: string, spop: number) {
  return {
    rules: [
      `filter spoe engine spoe-auth config ${join(folder, "spoe.conf")}`,
      "http-request del-header x-auth- -m beg",
      "http-request send-spoe-group spoe-auth try-auth-all",
      "http-request deny deny_status 401 unless { var(sess.auth.is_authenticated) -m bool }",
      "http-request set-header x-auth-subject %[var(sess.auth.token_claim_sub)]",
      "http-request set-header x-auth-tenant %[var(sess.auth.token_claim_tenant)]",
    ],
    sections: `backend spoe-agent
    mode ${Number(stage.haproxy.version.split(".").slice(0, 2).join(".")) >= 3.1 ? "spop" : "tcp"}
    timeout server 3m
    server agent 127.0.0.1:${spop}
`,
  };
}

const SPOE = `[spoe-auth]
spoe-agent auth-agents
    option var-prefix auth
    timeout hello 2s
    timeout idle 2m
    timeout processing 1s
    groups try-auth-all
    use-backend spoe-agent
spoe-group try-auth-all
    messages try-auth-oidc
spoe-message try-auth-oidc
    args arg_ssl=ssl_fc arg_host=req.hdr(Host) arg_pathq=pathq arg_cookie=req.cook(authsession) arg_token_claims=str("sub tenant")
`;

function configuration(issuer: Issuer, spop: number, callback: number): string {
  return `server: { addr: "127.0.0.1:${spop}", log_level: info }
oidc:
  provider_url: ${issuer.url}
  oauth2_callback_path: /oauth2/callback
  oauth2_logout_path: /oauth2/logout
  oauth2_healthcheck_path: /health
  callback_addr: 127.0.0.1:${callback}
  cookie_name: authsession
  cookie_secure: false
  signature_secret: ${SECRET}
  encryption_secret: ${SECRET}
  clients:
    ${HOST}: { client_id: ${AUDIENCE}, client_secret: unused, redirect_url: "http://${HOST}/oauth2/callback" }
`;
}
