import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { join } from "node:path";
import type { Test } from "tap";
import { startBackend } from "./backend.ts";
import { AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY } from "./certificates.ts";
import { startChromium } from "./chromium.ts";
import { freePort, haproxies, startHaproxy } from "./haproxy.ts";
import { CLIENT, startLoginProvider } from "./login-provider.ts";
import { command, configuration, folderOf, serve } from "./serve.ts";
import { generated } from "./stage.ts";

const HOST = "app.example.com";
/** The provider's too: whatever is there is of one site with it, and `app.example.com` is of another. */
const NEIGHBOUR = "127.0.0.1";
const POLICY = `
roles:
  readers: [{ issuer: idp, group: readers }]
  nobody: [{ issuer: idp, subject: nobody }]
services:
  app:
    hosts: [${HOST}, ${NEIGHBOUR}]
    backend: app
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: pages, match: ["GET|POST /v1/{path...}"], allow: [readers] }
      - { name: admin, match: ["GET /admin"], allow: [nobody] }
`;

/** One HAProxy that people come to. */
export interface Entrance {
  readonly version: string;
  /** Of another site than the provider's. */
  readonly origin: string;
  /** Of the provider's site. */
  readonly neighbour: string;
}

/**
 * What people with real browsers meet: one provider, agent and backend behind HAProxys of all versions, by TLS and
 * HTTP/2.
 *
 * @param store of sessions; default: browsers keep them
 */
export async function startPeople(t: Test, store?: string) {
  const binaries = haproxies();
  const [web, front] = [await freePort(), await freePort(binaries.length)];
  const entrances = binaries.map(({ version }, index): Entrance => {
    const [origin, neighbour] = [`https://${HOST}:${front + index}`, `https://${NEIGHBOUR}:${front + index}`];
    return { version, origin, neighbour };
  });
  const origins = entrances.flatMap(({ origin, neighbour }) => [origin, neighbour]);
  /** The entrance by which the provider reaches the agent from behind; undefined where it cannot. */
  const reached: { by: Entrance | undefined } = { by: undefined };
  const provider = await startLoginProvider(
    t,
    { alice: { groups: ["readers"] } },
    origins.map((origin) => `${origin}/.countersign/callback/idp`),
    {
      tls: true,
      refresh: store !== undefined,
      deliver: async ({ pathname }, form) =>
        reached.by === undefined ? 503 : await posted(new URL(pathname, reached.by.origin), form),
    },
  );
  const backend = await startBackend(t);
  const { text, ...ports } = await configuration(
    `
issuers:
  idp:
    type: oidc
    issuer: "${provider.issuer}"
    ca: authority.pem
    audiences: [api://app]
    login: { client: { id: ${CLIENT.id}, secret: "\${file:secret}" }, scopes: [openid], logout: { frontchannel: true } }
sessions: { origins: ${JSON.stringify(origins)}, keys: sessions.json${store === undefined ? "" : `, store: { url: "${store}", timeout: 2s }`} }
revoked: revoked.yaml
deadline: 10s
haproxy: { version: "2.6", bind: ["127.0.0.1:${front} ssl crt server.pem alpn h2,http/1.1"], scheme: https, backends: { app: ["127.0.0.1:${backend.port}"] } }
`,
    `, web: 127.0.0.1:${web}`,
  );
  const folder = folderOf(t, {
    ...{ "countersign.yaml": text, "policies/app.yaml": POLICY, secret: CLIENT.secret },
    ...{ "authority.pem": AUTHORITY, "revoked.yaml": "revoked: []\n" },
  });
  const ring = join(folder, "sessions.json");
  await command(["keys", "rotate", ring, "--algorithm", "A256GCM"]);
  const [served, files, profile] = await Promise.all([serve(t, folder, ports), generated(folder), startChromium(t)]);
  await Promise.all(
    binaries.map(async (binary, index) => {
      const own = (files["haproxy.cfg"] ?? "").replace(`:${front} ssl`, `:${front + index} ssl`);
      const all = { ...files, "haproxy.cfg": own, "server.pem": SERVER_CERTIFICATE + SERVER_KEY };
      await startHaproxy(t, binary, all, front + index);
    }),
  );
  /** Somebody at each entrance, in a browser of their own, with a page that is open there. */
  const everywhere = () =>
    Promise.all(
      entrances.map(async (entrance) => {
        const own = await profile();
        await own.page.goto(`${entrance.origin}/v1/a`);
        return { ...entrance, ...own };
      }),
    );
  return { provider, backend, served, folder, text, ring, entrances, reached, profile, everywhere };
}

/** The status of the answer to a form, of a host that is here. */
async function posted({ host, port, pathname }: URL, form: string): Promise<number> {
  const headers = { host, "content-type": "application/x-www-form-urlencoded" };
  const at = { host: "127.0.0.1", port, path: pathname, servername: "localhost", ca: AUTHORITY };
  const asked = request({ ...at, method: "POST", headers }).end(form);
  const [{ statusCode = 0 }] = (await once(asked, "response")) as [IncomingMessage];
  return statusCode;
}
