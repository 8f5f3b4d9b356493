import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { type Test, test } from "tap";
import { startBackend } from "../support/backend.ts";
import { Authority, type Issued, nameOf, type Wanted } from "../support/certificates.ts";
import { parseExposition } from "../support/exposition.ts";
import { freePort, type HaproxyBinary, haproxies, minorOf, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { folderOf, type Served, serve } from "../support/serve.ts";
import { generated } from "../support/stage.ts";

const POLICY = `
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    routes: [{ name: read, match: [GET /v1/orders], allow: [anyone] }]
`;
const AGENT: Wanted = { names: ["dns:countersign.example"] };
const HAPROXY: Wanted = { names: ["dns:haproxy.example"] };
const DAY = 86_400_000;
const LOCAL = { host: "127.0.0.1", servername: "countersign.example" };

interface Agent {
  readonly folder: string;
  readonly served: Served;
  readonly tls: number;
  readonly plain: number;
}

/** Some agents with TLS, and what HAProxy is generated from to ask them. All is loopback, which takes the same way. */
async function stage(t: Test, binary: HaproxyBinary, count = 1) {
  const [authority, proxies] = [new Authority("Agents"), new Authority("Proxies")];
  const backend = await startBackend(t);
  const front = await freePort();
  const shown = proxies.issue(HAPROXY);
  const folder = folderOf(t, { "agents.pem": authority.pem, "haproxy.pem": shown.pem + shown.key });
  const ports = await Promise.all(Array.from({ length: count }, async () => [await freePort(), await freePort()]));
  const servers = ports.map(([tls]) => `"127.0.0.1:${tls}"`);
  const agents = await Promise.all(
    ports.map(async ([tls = 0, plain = 0]): Promise<Agent> => {
      const admin = await freePort();
      const own = authority.issue(AGENT);
      const agent = folderOf(t, {
        ...{ "agent.crt": own.pem, "agent.key": own.key, "proxies.pem": proxies.pem },
        "policies/orders.yaml": POLICY,
        "countersign.yaml": `
listen:
  spop:
    - address: 127.0.0.1:${tls}
      tls: { cert: agent.crt, key: agent.key, client_ca: proxies.pem, client_names: [haproxy.example, "spiffe://a/b"] }
    - 127.0.0.1:${plain}
  admin: 127.0.0.1:${admin}
policies: ./policies
issuers: { idp: { type: oidc, issuer: "https://127.0.0.1:1", audiences: [a] } }
haproxy:
  version: "${minorOf(binary)}"
  bind: ["127.0.0.1:${front}"]
  scheme: http
  backends: { orders: ["127.0.0.1:${backend.port}"] }
  agents:
    servers: [${servers}]
    tls: { cert: ${folder}/haproxy.pem, ca: ${folder}/agents.pem, server_name: countersign.example }
`,
      });
      return { folder: agent, served: await serve(t, agent, { spop: tls, admin }), tls, plain };
    }),
  );
  const [agent] = agents;
  if (agent === undefined) throw new Error("no agent");
  return { authority, proxies, backend, front, folder, agent, agents, files: await generated(agent.folder) };
}

/** Whole at once, as whatever renews certificates writes them. */
function replace(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(folder, "next"), content);
    renameSync(join(folder, "next"), join(folder, name));
  }
}

async function ask(port: number): Promise<string> {
  const client = await RawClient.open(port);
  const { status, body } = await client.request("GET /v1/orders HTTP/1.1");
  client.close();
  return status === 200 ? "allowed" : String(JSON.parse(body).reason);
}

async function until(port: number, outcome: string): Promise<void> {
  while ((await ask(port)) !== outcome) await new Promise((done) => setTimeout(done, 50));
}

/** How often the agent has ended or refused connections, by its codes. */
async function refusals({ served }: Agent): Promise<Readonly<Record<string, number>>> {
  const family = parseExposition((await served.page("/metrics")).text).get("countersign_protocol_errors_total");
  return Object.fromEntries(
    (family?.samples ?? []).flatMap(({ labels, value }) => (value > 0 ? [[labels.code ?? "", value]] : [])),
  );
}

/** How often HAProxy has checked the agent's health. */
async function checked({ served }: Agent): Promise<number> {
  return Number(/^countersign_health_checks_total (\d+)/m.exec((await served.page("/metrics")).text)?.[1]);
}

async function untilRefused(agent: Agent, code: string): Promise<void> {
  while ((await refusals(agent))[code] === undefined) await new Promise((done) => setTimeout(done, 50));
}

/** One HAProxy with a frontend a case, each with an agent's backend of its own: the generated lines, changed. */
async function cases(t: Test, files: Readonly<Record<string, string>>, folder: string, changes: readonly string[][]) {
  const cfg = files["haproxy.cfg"] ?? "";
  const at = { frontend: cfg.indexOf("frontend countersign "), agent: cfg.indexOf("# The agent.") };
  const end = cfg.indexOf("\nbackend ", at.frontend);
  const [frontend, agent] = [cfg.slice(at.frontend, end), cfg.slice(at.agent)];
  const fronts: number[] = [];
  const parts: [string, string][] = [];
  for (const [index, [from = "", to = ""]] of changes.entries()) {
    const port = await freePort();
    fronts.push(port);
    const spoe = join(folder, `${index}.spoe.conf`);
    writeFileSync(spoe, (files["countersign.spoe.conf"] ?? "").replace(/^( *use-backend ).*$/m, `$1agent-${index}`));
    const changed = agent.replace(from, to);
    t.not(from === "" ? agent : changed, from === "" ? "" : agent, "the case is one");
    parts.push([
      frontend
        .replace("frontend countersign ", `frontend case-${index} `)
        .replace(/bind \S+/, `bind 127.0.0.1:${port}`)
        .replace("config countersign.spoe.conf", `config ${spoe}`),
      changed.replace("backend countersign-agent ", `backend agent-${index} `),
    ]);
  }
  const text = [
    cfg.slice(0, at.frontend),
    ...parts.map(([one]) => one),
    cfg.slice(end, at.agent),
    ...parts.map(([, one]) => one),
  ];
  return { fronts, files: { "haproxy.cfg": text.join("\n") } };
}

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: an agent off loopback answers nobody but HAProxy, by TLS`, async (t) => {
    const { authority, proxies, backend, folder, agent, files } = await stage(t, binary);
    const show = (name: string, { pem, key }: Issued) => {
      writeFileSync(join(folder, name), pem + key);
      return ["haproxy.pem", name];
    };
    writeFileSync(join(folder, "other.pem"), new Authority("Agents").pem);
    const table: readonly (readonly [name: string, change: string[], code?: string])[] = [
      ["as generated", []],
      ["a URI among the names", show("uri.pem", proxies.issue({ names: ["uri:spiffe://a/b"] }))],
      ["no certificate", [` crt ${folder}/haproxy.pem`, ""], "TLS_CERTIFICATE_MISSING"],
      [
        "of another authority of the same name",
        show("a.pem", new Authority("Proxies").issue(HAPROXY)),
        "TLS_CERTIFICATE_UNTRUSTED",
      ],
      ["of the agents' authority", show("b.pem", authority.issue(HAPROXY)), "TLS_CERTIFICATE_UNTRUSTED"],
      ["with another name", show("c.pem", proxies.issue({ names: ["dns:other.example"] })), "TLS_CERTIFICATE_NAME"],
      [
        "with the name as a common name alone",
        show("d.pem", proxies.issue({ subject: commonName() })),
        "TLS_CERTIFICATE_NAME",
      ],
      ["expired", show("e.pem", proxies.issue({ ...HAPROXY, until: Date.now() - DAY })), "TLS_CERTIFICATE_EXPIRED"],
      [
        "for servers only",
        show("f.pem", proxies.issue({ ...HAPROXY, purposes: ["1.3.6.1.5.5.7.3.1"] })),
        "TLS_CERTIFICATE_UNTRUSTED",
      ],
      [
        "plain text to TLS",
        [
          / ssl .*$/m.exec(files["haproxy.cfg"]?.slice(files["haproxy.cfg"].indexOf("server agent1")) ?? "")?.[0] ?? "",
          "",
        ],
        "TLS_HANDSHAKE_FAILED",
      ],
      ["TLS to plain text", [`127.0.0.1:${agent.tls}`, `127.0.0.1:${agent.plain}`], "FRAME_TOO_BIG"],
      ["an agent of another authority", ["agents.pem", "other.pem"], "TLS_HANDSHAKE_FAILED"],
      ["an agent of another name", ["sni str(countersign.example)", "sni str(other.example)"]],
    ];
    const { fronts, files: all } = await cases(
      t,
      files,
      folder,
      table.map(([, change]) => change),
    );
    await startHaproxy(t, binary, all, fronts[0] ?? 0);
    await until(fronts[0] ?? 0, "allowed");
    await until(fronts[1] ?? 0, "allowed");
    const before = backend.received.length;
    const refused = table.map(async ([name, , code], index) => {
      if (index < 2) return;
      t.equal(await ask(fronts[index] ?? 0), "agent-unavailable", name);
      if (code !== undefined) await untilRefused(agent, code);
    });
    await Promise.all(refused);
    t.equal(backend.received.length, before, "nothing of it arrived");
    t.equal(await ask(fronts[0] ?? 0), "allowed", "the others go on");
    t.match(
      agent.served.lines.filter(({ code }) => code === "TLS_CERTIFICATE_NAME"),
      [{ level: "warn" }],
    );
  });
}

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: certificates are renewed, and one of two agents ends, while requests go on`, async (t) => {
    const { authority, proxies, front, agent, agents, files } = await stage(t, binary, 2);
    await startHaproxy(t, binary, files, front);
    await until(front, "allowed");
    const clients = await Promise.all(Array.from({ length: 4 }, () => RawClient.open(front)));
    t.teardown(() => clients.map((client) => client.close()));
    let asking = true;
    const refused: number[] = [];
    const load = clients.map(async (client) => {
      for (; asking; await new Promise((done) => setTimeout(done, 20))) {
        const { status } = await client.request("GET /v1/orders HTTP/1.1");
        if (status !== 200) refused.push(status);
      }
    });
    const renew = (changed: Readonly<Record<string, string>>) => {
      replace(agent.folder, changed);
      agent.served.child.kill("SIGHUP");
    };
    const serial = async () => {
      const mine = proxies.issue(HAPROXY);
      const socket = connect({ ...LOCAL, port: agent.tls, ca: authority.pem, cert: mine.pem, key: mine.key });
      await once(socket, "secureConnect");
      const { serialNumber } = socket.getPeerCertificate();
      socket.destroy();
      return serialNumber;
    };

    const before = await serial();
    replace(agent.folder, { "agent.crt": authority.pem });
    const { faults } = await agent.served.said("reload failed");
    t.match(String(faults), /^countersign\.yaml:5:36: the text "agent\.key" names a file without it; /);
    t.equal(await serial(), before, "a certificate without its key does not take the place of one that has it");
    const next = authority.issue(AGENT);
    renew({ "agent.crt": next.pem, "agent.key": next.key });
    await agent.served.said("reloaded");
    t.not(await serial(), before, "what was renewed is shown");
    const { validToDate } = new X509Certificate(next.pem);
    const { text } = await agent.served.page("/metrics");
    t.match(text, "countersign_last_reload_successful 1");
    t.match(text, `countersign_spop_certificate_end_timestamp_seconds ${validToDate.getTime() / 1000}\n`);
    t.strictSame(refused, [], "no request was refused meanwhile");

    // An agent that lets HAProxy in no more is passed over; connections that it has go on.
    renew({ "proxies.pem": new Authority("Proxies").pem });
    await agent.served.said("reloaded", 2);
    await untilRefused(agent, "TLS_CERTIFICATE_UNTRUSTED");
    renew({ "proxies.pem": proxies.pem });
    await agent.served.said("reloaded", 3);
    const checks = await checked(agent);
    while ((await checked(agent)) < checks + 2) await new Promise((done) => setTimeout(done, 50));
    t.strictSame(refused, [], "no request was refused meanwhile, either");

    const gone = agents[1]?.served.child;
    if (gone?.kill("SIGKILL")) await once(gone, "close");
    // HAProxy has yet to see that connections have ended; what it sends into one of them is in flight, too.
    for (let allowed = 0; allowed < 50; ) allowed = (await ask(front)) === "allowed" ? allowed + 1 : 0;
    t.pass("the other agent answers");
    asking = false;
    await Promise.all(load);
    t.ok(refused.length <= 2 * clients.length, `of those in flight on the agent that ended: ${refused.length}`);
  });
}

function commonName(): Buffer {
  return nameOf({ "2.5.4.3": "haproxy.example" });
}
