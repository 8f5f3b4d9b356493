import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { parseSealingRing, type SealingKey } from "../../agent/config/files/sealing-ring.ts";
import { type Session, SessionCookies } from "../../agent/identity/session/session.ts";
import { sessionLines } from "../../agent/web/login/cookies.ts";
import { startBackend } from "../support/backend.ts";
import { Browser, NAVIGATION } from "../support/browser.ts";
import { freePort, haproxies, startHaproxy } from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { CLIENT, startLoginProvider } from "../support/login-provider.ts";
import { command, configuration, folderOf, serve } from "../support/serve.ts";
import { generated } from "../support/stage.ts";

const HOST = "orders.example.com";
const ORIGIN = `https://${HOST}`;
const OTHER = "files.example.com";
const CALLBACK = "/.countersign/callback/idp";
const LOGIN = "/.countersign/login";
const COOKIE = "__Host-countersign";
const POLICY = `
roles:
  readers: [{ issuer: idp, group: readers }]
services:
  orders:
    hosts: [${HOST}, ${OTHER}]
    backend: orders
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: orders, match: ["GET|POST /v1/{path...}"], allow: [readers] }
      - { name: pay, match: [GET /pay], allow: [readers], step_up: { acr: [mfa], max_age: 5m } }
`;
const ACCOUNTS = { alice: { groups: ["readers"] }, mallory: { groups: [] } };
const SOCKET = {
  upgrade: "websocket",
  connection: "upgrade",
  "sec-websocket-version": "13",
  "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
};
const XHR = {
  accept: "application/json",
  "sec-fetch-mode": "cors",
  "sec-fetch-dest": "empty",
  "sec-fetch-site": "same-origin",
};

/** One provider, one agent and one backend, and HAProxys of all versions with the same files. */
async function stage(t: Test) {
  const provider = await startLoginProvider(t, ACCOUNTS, [`${ORIGIN}${CALLBACK}`]);
  const backend = await startBackend(t);
  const [web, front] = [await freePort(), await freePort(haproxies().length)];
  const { text, ...ports } = await configuration(
    `
issuers:
  idp: { type: oidc, issuer: "${provider.issuer}", audiences: [api://orders], login: { client: { id: ${CLIENT.id}, secret: "\${file:secret}" }, scopes: [openid] } }
sessions: { origins: ["${ORIGIN}", "https://${OTHER}"], keys: sessions.json }
deadline: 10s
haproxy: { version: "2.6", bind: ["127.0.0.1:${front}"], scheme: https, backends: { orders: ["127.0.0.1:${backend.port}"] } }
`,
    `, web: 127.0.0.1:${web}`,
  );
  const folder = folderOf(t, { "countersign.yaml": text, "policies/orders.yaml": POLICY, secret: CLIENT.secret });
  const ring = join(folder, "sessions.json");
  await command(["keys", "rotate", ring, "--algorithm", "A256GCM"]);
  const served = await serve(t, folder, ports);
  const files = await generated(folder);
  const fronts = await Promise.all(
    haproxies().map(async (binary, index) => {
      const own = {
        ...files,
        "haproxy.cfg": (files["haproxy.cfg"] ?? "").replace(`:${front}\n`, `:${front + index}\n`),
      };
      const log = await startHaproxy(t, binary, own, front + index);
      return { version: binary.version, port: front + index, log };
    }),
  );
  const browser = (port = front) => new Browser({ [HOST]: port, [OTHER]: port });
  const keys = () => parseSealingRing(readFileSync(ring, "utf8")) as readonly SealingKey[];
  const known = () => ({ ring: keys(), issuer: provider.issuer });
  return { provider, backend, served, folder, ring, keys, known, fronts, browser };
}

/** A session as the agent would seal it. */
function sealed(
  { ring, issuer }: { readonly ring: readonly SealingKey[]; readonly issuer: string },
  changes: Partial<Session> = {},
): string {
  const config = { origins: [], cookie: COOKIE, keys: "", ring, idle: 0, lifetime: 0, largest: 0 };
  const session = {
    ...{ id: "id", host: HOST, begunAt: Date.now() - 1000, endsAt: Date.now() + 3_600_000 },
    ...{ claims: { sub: "alice", groups: ["readers"] }, scopes: [], ...changes },
  };
  return new SessionCookies(config).seal(session, { name: "idp", issuer, login: { client: CLIENT } }, Date.now());
}

/** `/m` as `/%6d`. */
function encoded(beginning: string): string {
  return `/%${beginning.charCodeAt(1).toString(16)}`;
}

test("people log in by their browsers, and every request is then judged as theirs", async (t) => {
  const { provider, backend, served, ring, keys, known, fronts, browser } = await stage(t);
  const secrets: string[] = [CLIENT.secret];
  for (const { version, port, log } of fronts) {
    const there = (path: string) => `${ORIGIN}${path}`;
    const holding = (value: string, more: Readonly<Record<string, string>> = {}, host = HOST) => {
      const own = browser(port);
      for (const [name, each] of Object.entries({ [COOKIE]: value, ...more })) own.cookies(host).set(name, each);
      return own;
    };

    await t.test(`HAProxy ${version}: there and back again`, async (t) => {
      provider.who = "alice";
      const alice = browser(port);
      alice.cookies(HOST).set("theme", "dark");
      const page = await alice.show(there("/v1/orders?a=1&b=%2F&c=d%26e"));
      t.equal(page.status, 200, page.body);
      t.equal(page.url.href, there("/v1/orders?a=1&b=%2F&c=d%26e"));
      t.strictSame(backend.last("x-auth-subject"), ["alice"]);
      t.strictSame(backend.last("cookie"), ["theme=dark"], "the backend gets its own cookie, and none of ours");
      t.equal((await alice.ask(there("/v1/orders"), XHR)).status, 200);
      t.strictSame([...alice.cookies(HOST).keys()].sort(), [COOKIE, `${COOKIE}-login`, "theme"]);
      const queries = alice.visited.flatMap((at) => [...new URL(at).searchParams]);
      secrets.push(...[...alice.cookies(HOST).values()].filter((value) => value !== "dark"));
      secrets.push(
        ...queries.flatMap(([name, value]) => (["code", "state", "request_uri"].includes(name) ? [value] : [])),
      );
    });

    await t.test(`HAProxy ${version}: a login that another has begun signs nobody in`, async (t) => {
      provider.who = "alice";
      const mallory = browser(port);
      const begun = await mallory.ask(there(`${LOGIN}?rt=/v1/a`));
      const alice = browser(port);
      // A sibling host can set a cookie of this name, with Domain: browsers hold only `__Host-` to its rules.
      alice.cookies(HOST).set(`\u00a0${COOKIE}-login`, mallory.cookies(HOST).get(`${COOKIE}-login`) ?? "");
      const back = await alice.upTo(String(begun.headers.location), CALLBACK);
      const landed = await alice.ask(back.href);
      t.match([landed.status, landed.body], [400, /does not keep our cookie/]);
      back.searchParams.set("code", "junk");
      const stolen = await mallory.ask(back.href);
      t.match([stolen.status, stolen.headers["set-cookie"]], [400, undefined]);
      t.equal((await mallory.ask(there("/v1/a"), XHR)).status, 401);
    });

    await t.test(`HAProxy ${version}: a page is redirected, and nothing else is`, async (t) => {
      const nobody = browser(port);
      const received = backend.received.length;
      const { "sec-fetch-mode": _mode, "sec-fetch-dest": _dest, "sec-fetch-site": _site, ...old } = NAVIGATION;
      for (const [headers, method] of [
        [NAVIGATION, "GET"],
        [NAVIGATION, "HEAD"],
        [old, "GET"],
      ] as const) {
        const answer = await nobody.ask(there("/v1/a?b=c&d=%2F%25"), headers, method);
        t.equal(answer.status, 303);
        t.equal(answer.headers.location, `${LOGIN}?rt=%2Fv1%2Fa%3Fb%3Dc%26d%3D%252F%2525`);
        t.match(answer.headers["cache-control"], /no-store/);
        t.equal(answer.body, "");
      }
      const long = await nobody.ask(there(`/v1/${"a".repeat(2000)}`));
      t.match([long.status, long.headers.location], [303, LOGIN], "a path that is too long is not come back to");
      const other = (headers: object) => ({ ...NAVIGATION, ...headers }) as Readonly<Record<string, string>>;
      for (const [headers, method] of [
        [XHR, "GET"],
        [{ accept: "*/*" }, "GET"],
        [{ ...old, "x-requested-with": "XMLHttpRequest" }, "GET"],
        [other({ "sec-fetch-dest": "iframe" }), "GET"],
        [other({ "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image" }), "GET"],
        [other({ "sec-purpose": "prefetch" }), "GET"],
        [other({ authorization: "Bearer x.y.z" }), "GET"],
        [other({ authorization: "Basic eDp5" }), "GET"],
        [{ ...old, ...SOCKET }, "GET"],
        [NAVIGATION, "POST"],
      ] as const) {
        const answer = await nobody.ask(there("/v1/a"), headers, method);
        t.equal(answer.status, 401, JSON.stringify(headers));
        t.match(answer.headers["www-authenticate"], /^Bearer realm=/);
        t.equal(answer.headers.location, undefined);
      }
      t.match(JSON.parse((await nobody.ask(there("/v1/a"), XHR)).body), { reason: "credential-missing", login: LOGIN });
      const frame = await nobody.ask(there("/v1/a"), other({ "sec-fetch-dest": "iframe" }));
      t.match(frame.body, `<a href="${LOGIN}" target="_top">`);
      t.equal(backend.received.length, received, "nothing arrived");
    });

    await t.test(`HAProxy ${version}: who is known and may not is not sent to log in`, async (t) => {
      provider.who = "mallory";
      const mallory = browser(port);
      const page = await mallory.show(there("/v1/orders"));
      t.match([page.status, page.body], [403, /role-missing/]);
      t.equal(mallory.visited.filter((at) => at.includes(LOGIN)).length, 1);
    });

    await t.test(`HAProxy ${version}: cookies that are no session`, async (t) => {
      const good = sealed(known());
      const former = sealed({ ...known(), issuer: "https://former.example" });
      t.equal((await holding(former).ask(there("/v1/a"), XHR)).status, 401, "of another provider of this name");
      t.equal((await holding(good).ask(there("/v1/a"), XHR)).status, 200);
      const [, kid, body] = /^idp~(.+)\.(.+)$/.exec(good) ?? [];
      for (const bad of [
        ...["x", "~", "idp", "idp~", "idp~.", `idp~${kid}.`, `idp~${kid}.AAAA`, `other~${kid}.${body}`, `${good}A`],
        ...[
          `idp~x.${body}`,
          good.slice(1),
          `${good}~${good}`.slice(0, -1),
          "a".repeat(7000),
          `idp~${kid}.${"A".repeat(3000)}`,
        ],
        ...Array.from({ length: 24 }, (_, size) => Buffer.alloc(size, size * 7).toString("base64url")),
      ]) {
        if (bad === `${good}~${good}`.slice(0, -1)) continue;
        const answer = await holding(bad).ask(there("/v1/a"), XHR);
        t.equal(answer.status, 401, bad.slice(0, 40));
      }
      t.match(JSON.parse((await holding(`idp~${kid}.AAAA`).ask(there("/v1/a"), XHR)).body), {
        ...{ reason: "session-invalid", login: LOGIN },
      });
      t.equal((await holding("x").ask(there("/v1/a"))).status, 303, "a browser begins anew");
      const elsewhere = await holding(good, {}, OTHER).ask(`https://${OTHER}/v1/a`, XHR);
      t.match(JSON.parse(elsewhere.body), { reason: "session-invalid" }, "another host's");
      const over = sealed(known(), { begunAt: Date.now() - 2000, endsAt: Date.now() - 1000 });
      t.match(JSON.parse((await holding(over).ask(there("/v1/a"), XHR)).body), { reason: "session-expired" });
      const idle = sealed(known(), { begunAt: Date.now() - 3_700_000 });
      t.match(JSON.parse((await holding(idle).ask(there("/v1/a"), XHR)).body), { reason: "session-expired" });
      const twice = await browser(port).ask(there("/v1/a"), { ...XHR, cookie: `${COOKIE}=${good}; ${COOKIE}=${good}` });
      t.match(JSON.parse(twice.body), { status: 400, reason: "duplicate" });
      t.equal((await browser(port).ask(there("/v1/a"), { ...XHR, cookie: `${COOKIE}="${good}"` })).status, 401);
    });

    await t.test(
      `HAProxy ${version}: cookies of any length and kind are no session, and a login begins with them`,
      async (t) => {
        const own = sealed(known());
        const asked = async (
          cookie: string,
          line = "GET /v1/a HTTP/1.1",
          fields: Readonly<Record<string, string>> = XHR,
        ) => {
          const client = await RawClient.open(port);
          const others = Object.entries(fields).map(([name, value]) => `${name}: ${value}`);
          // Of a head that is too large HAProxy reads no more, and may close before it is all sent.
          const answer = await client
            .request(line, [`host: ${HOST}`, ...others, `cookie: ${cookie}`])
            .catch(() => undefined);
          client.close();
          return answer;
        };
        const octets = (size: number, first: number, last: number) =>
          String.fromCharCode(...randomBytes(size).map((octet) => first + (octet % (last - first + 1))));
        const counts = [
          "-1",
          "0",
          "1",
          "2",
          "9999999",
          "-9999999",
          "1e9",
          "NaN",
          "0x7fffffff",
          "4294967296",
          "__proto__",
        ];
        const sizes = [
          ...Array.from({ length: 65 }, (_, size) => size),
          400,
          4022,
          4096,
          7999,
          8001,
          8192,
          12_000,
          14_500,
        ];
        const values = [
          ...sizes.flatMap((size) => [octets(size, 97, 122), octets(size, 128, 255)]),
          ...counts.flatMap((count) => [count, `idp~${count}`, `idp~${count}.AAAA`, `${count}~idp`, `idp~k.${count}`]),
        ];
        const received = backend.received.length;
        for (const value of values) {
          t.equal((await asked(`${COOKIE}=${value}`))?.status, 401, `${value.length}: ${value.slice(0, 20)}`);
        }
        for (const count of counts) {
          for (const name of [`${COOKIE}-${count}`, `${COOKIE}_${count}`, `${COOKIE}.${count}`])
            t.equal((await asked(`${name}=${count}`))?.status, 401, name);
          t.equal((await asked(`${COOKIE}=idp~; ${COOKIE}-more=${count}`))?.status, 401, `more: ${count}`);
          t.equal((await asked(`${COOKIE}=${own}; ${COOKIE}-more=${count}`))?.status, 401, `a good one and ${count}`);
          t.equal((await asked(`${COOKIE}-seen=${count}; ${COOKIE}-more=${count}`))?.status, 401, `no first: ${count}`);
        }
        for (const size of [15_900, 16_300, 16_384, 20_000, 66_000]) {
          const answer = await asked(`${COOKIE}=${octets(size, 97, 122)}`);
          t.ok(answer === undefined || [400, 401, 431, 503].includes(answer.status), `${size}: ${answer?.status}`);
        }
        t.equal(backend.received.length, received, "nothing arrived");
        for (const value of ["", "-1", octets(40, 128, 255), octets(8000, 97, 122), octets(14_500, 97, 122)]) {
          const cookie = `${COOKIE}=${value}; ${COOKIE}-more=${value.slice(0, 400)}; ${COOKIE}-login=${value.slice(0, 400)}`;
          const begun = await asked(cookie.slice(0, 15_000), `GET ${LOGIN}?rt=/v1/a HTTP/1.1`, NAVIGATION);
          t.match(
            [begun?.status, begun?.headers.location],
            [303, new RegExp(`^${provider.issuer}/auth\\?`)],
            "a login begins",
          );
        }
        t.equal((await holding(own).ask(there("/v1/a"), XHR)).status, 200, "and all others are answered as before");
        t.equal(served.child.exitCode ?? served.child.signalCode, null);
        t.notOk(served.lines.some(({ msg, reason }) => /unexpected/.test(String(msg)) || reason === "agent-error"));
      },
    );

    await t.test(`HAProxy ${version}: a page tells the id by which HAProxy has logged its request`, async (t) => {
      for (const [name, headers] of Object.entries({ own: {}, chosen: { "x-request-id": "chosen" } })) {
        const { body } = await browser(port).ask(there(`${CALLBACK}-${name}`), { ...NAVIGATION, ...headers });
        const logged = () => log.find((line) => line.includes(`idp-${name}"`));
        while (logged() === undefined) await new Promise((done) => setTimeout(done, 20));
        const { request_id: id } = JSON.parse(logged() ?? "");
        t.match(id, /^[0-9a-f]{32}$/);
        t.match(body, `<p class="detail">Request: ${id}</p>`, name);
      }
    });

    await t.test(`HAProxy ${version}: a query of & alone`, async (t) => {
      const client = await RawClient.open(port);
      for (const query of ["?&", "?&&&&", "?=&=", "?&rt", "?%26", "?"]) {
        const own = sealed(known());
        const fields = [`host: ${HOST}`, ...Object.entries(XHR).map(([name, value]) => `${name}: ${value}`)];
        const asked = async (path: string, more: readonly string[] = []) =>
          (await client.request(`GET ${path}${query} HTTP/1.1`, [...fields, ...more])).status;
        t.equal(await asked("/v1/a", [`cookie: ${COOKIE}=${own}`]), 200);
        for (const [path, status] of [
          ["/v1/a", 401],
          [LOGIN, 303],
          [CALLBACK, 400],
          ["/.countersign/logout", 200],
          ["/.countersign/signed-out", 200],
          ["/.countersign/frontchannel-logout/idp", 404],
          ["/.countersign/backchannel-logout/idp", 404],
        ] as const) {
          t.equal(await asked(path), status, `${path}${query}`);
        }
      }
      client.close();
      provider.who = "alice";
      const page = await browser(port).show(there("/v1/a?&"));
      t.match([page.status, page.url.href], [200, there("/v1/a?&")]);
    });

    await t.test(`HAProxy ${version}: nobody outside sees the agent's own pages`, async (t) => {
      const pages = ["/metrics", "/status", "/live", "/ready", "/tap", "/debug/pprof/", "/haproxy?stats", "/"];
      for (const path of pages.slice(0, 4)) t.equal((await served.page(path)).status, 200, `${path} is there inside`);
      const before = ["", "/.", "/", "/.countersign", "/.countersign/..", "/.countersign/%2e%2e", "/.countersign/.."];
      const below = [
        `${LOGIN}/../..`,
        `${LOGIN}/%2e%2e/%2e%2e`,
        "/.countersign%2f..",
        "/.countersign\\..",
        "/%2ecountersign",
      ];
      const cookie = `cookie: ${COOKIE}=${sealed(known())}`;
      const spelled = (path: string) => [
        ...[...before, ...below, "//.countersign/", "/v1/..", `/.well-known`].map((each) => `${each}${path}`),
        ...[`http://127.0.0.1:${served.admin}`, `http://${HOST}:${served.admin}`, `https://${HOST}`].map(
          (at) => `${at}${path}`,
        ),
        ...[
          path.toUpperCase(),
          path.replace(/^\/./, encoded),
          `${path}/`,
          `${path};a`,
          `${path}%00`,
          `${path}?${path}`,
        ],
      ];
      const admin = [HOST, "127.0.0.1", "localhost"].map((host) => `${host}:${served.admin}`);
      const asked = [HOST, "localhost", ...admin].flatMap((host) =>
        pages.flatMap(spelled).map((target) => ({ target, fields: [`host: ${host}`] })),
      );
      const signedIn = pages.flatMap(spelled).map((target) => ({ target, fields: [`host: ${HOST}`, cookie] }));
      const received = backend.received.length;
      const open: string[] = [];
      for (const { target, fields } of [...asked, ...signedIn]) {
        const client = await RawClient.open(port);
        const { status, body } = await client.request(`GET ${target} HTTP/1.1`, fields);
        client.close();
        const told = /countersign_|"phase"|"live"|"ready"|pprof|Statistics Report/.test(body);
        if (status < 400 || status >= 500 || told) open.push(`${status} ${fields[0]} ${target}`);
      }
      t.strictSame(open, []);
      t.equal(backend.received.length, received, "nothing arrived");
    });

    await t.test(`HAProxy ${version}: a session counts where a browser would send it, and nowhere else`, async (t) => {
      const own = sealed(known());
      const planted = sealed(known(), { claims: { sub: "mallory", groups: ["readers"] } });
      const asked = async (cookie: string) => (await browser(port).ask(there("/v1/a"), { ...XHR, cookie })).status;
      for (const cookie of [
        ...["x=y,", "x=y, ", "x=y,\t", "x,", ",", 'x="y",'].map((before) => `${before}${COOKIE}=${planted}`),
        ...["more", "seen", "login"].map((part) => `${COOKIE}=${own}; x=y,${COOKIE}-${part}=${planted}`),
        `x=y,${COOKIE}=${planted}; ${COOKIE}=${own}`,
        `${COOKIE}=${own}; x=y,${COOKIE}=${planted}`,
        `x=y,${COOKIE} =${planted}`,
        `a="; ${COOKIE}=${own}; b=",${COOKIE}=${planted}`,
        `a="; ${COOKIE}=${own}; b="; ${COOKIE}=${planted}`,
        `a="\\"; ${COOKIE}=${own}; b="; ${COOKIE}=${planted}`,
        `a="; ${COOKIE}-seen=x; b="; ${COOKIE}=${own}; ${COOKIE}-seen=${planted}`,
        `${COOKIE}=${own};${COOKIE}\t=${planted}`,
      ]) {
        t.equal(await asked(cookie), 400, cookie.slice(0, 40));
      }
      const client = await RawClient.open(port);
      const lines = ["a=b", `${COOKIE}=${own}`].map((cookie) => `cookie: ${cookie}`);
      t.equal((await client.request("GET /v1/a HTTP/1.1", [`host: ${HOST}`, ...lines])).status, 400, "of two headers");
      await client.close();
      for (const [cookie, left] of [
        ['a=1,2; b="c,d"; SESSION', 'a=1,2; b="c,d"'],
        ["SESSION; a=1,2,", "a=1,2,"],
        ["x__Host-countersigned=1; SESSION", undefined],
        ['a="q"; SESSION; b="; "', 'a="q"; b="; "'],
      ] as const) {
        t.equal(await asked(cookie.replace("SESSION", `${COOKIE}=${own}`)), 200, cookie);
        t.strictSame(backend.last("cookie"), left === undefined ? [] : [left], cookie);
      }
      t.equal(await asked(`a="; ${COOKIE}=${own}; b="`), 401, "what is hidden in quotes is none");
    });

    await t.test(`HAProxy ${version}: a session that is too large for one cookie is in two`, async (t) => {
      const groups = ["readers", ...Array.from({ length: 150 }, (_, n) => `a-group-with-a-name-of-its-own-${n}`)];
      const large = sealed(known(), { claims: { sub: "alice", groups } });
      t.ok(large.length > 4096, String(large.length));
      const lines = sessionLines(COOKIE, large, 8192) ?? [];
      const cookies = Object.fromEntries(lines.map((line) => /^([^=]+)=([^;]*)/.exec(line)?.slice(1) ?? []));
      t.ok(lines.every((line) => line.length <= 4096));
      const whole = holding(cookies[COOKIE] ?? "", { [`${COOKIE}-more`]: cookies[`${COOKIE}-more`] ?? "", b: "c" });
      t.equal((await whole.ask(there("/v1/a"), XHR)).status, 200);
      t.strictSame(backend.last("cookie"), ["b=c"]);
      t.equal((await holding(cookies[COOKIE] ?? "").ask(there("/v1/a"), XHR)).status, 401, "half of it is none");
      t.equal(sessionLines(COOKIE, "a".repeat(8001), 16_384), undefined, "and more than two is none");
    });

    await t.test(`HAProxy ${version}: a session that is used goes on`, async (t) => {
      const own = holding(sealed(known(), { begunAt: Date.now() - 3_000_000 }));
      const answer = await own.ask(there("/v1/a"), XHR);
      t.match([answer.status, answer.headers["cache-control"]], [200, /private/]);
      t.match([answer.headers["set-cookie"]].flat(), [
        new RegExp(`^${COOKIE}-seen=[\\w.-]+; Path=/; Secure; HttpOnly; SameSite=Lax$`),
      ]);
      const seen = own.cookies(HOST).get(`${COOKIE}-seen`) ?? "";
      const again = await own.ask(there("/v1/a"), XHR);
      t.match([again.status, again.headers["set-cookie"]], [200, undefined], "it was told");
      t.strictSame(backend.last("cookie"), []);
      const late = sealed(known(), { begunAt: Date.now() - 4_000_000 });
      t.equal((await holding(late, { [`${COOKIE}-seen`]: seen }).ask(there("/v1/a"), XHR)).status, 200);
      const cached = async () =>
        /^countersign_cached_identities (\d+)/m.exec((await served.page("/metrics")).text)?.[1];
      const before = await cached();
      t.match(before, /^\d+$/);
      for (let n = 0; n < 20; n++) {
        const varied = await holding(own.cookies(HOST).get(COOKIE) ?? "", { [`${COOKIE}-seen`]: `x${n}~y` }).ask(
          there("/v1/a"),
          XHR,
        );
        t.equal(varied.status, 200);
      }
      t.equal(await cached(), before, "one session is one identity, whatever stands beside it");
      const others = sealed(known(), { begunAt: Date.now() - 4_000_000, id: "another" });
      t.equal((await holding(others, { [`${COOKIE}-seen`]: seen }).ask(there("/v1/a"), XHR)).status, 401, "of another");
    });

    await t.test(
      `HAProxy ${version}: who has to log in better or anew is sent to, and asked for just that`,
      async (t) => {
        provider.who = "alice";
        provider.acr = "mfa";
        const old = { sub: "alice", groups: ["readers"], acr: "mfa", auth_time: Math.floor(Date.now() / 1000) - 3600 };
        const claims = { "authentication-weak": { ...old, acr: "pwd" }, "authentication-old": old };
        for (const [reason, each] of Object.entries(claims)) {
          const alice = holding(sealed(known(), { claims: each }));
          const told = JSON.parse((await alice.ask(there("/pay"), XHR)).body);
          t.match(told, { status: 401, reason, login: /^\/\.countersign\/login\?step=[\w.-]+$/ });
          const { location } = (await alice.ask(there("/pay?a=b"))).headers;
          t.match(location, /^\/\.countersign\/login\?rt=%2Fpay%3Fa%3Db&step=[\w.-]+$/);
          const page = await alice.show(there("/pay?a=b"));
          t.match([page.status, page.url.href], [200, there("/pay?a=b")]);
        }
        provider.acr = "pwd";
        const weak = await holding(sealed(known(), { claims: old })).show(there("/pay"));
        t.match([weak.status, weak.body], [403, /authentication-weak/], "the provider has not done it");
        const fake = holding(sealed(known(), { claims: old }));
        t.equal(
          (await fake.show(there(`${LOGIN}?rt=/v1/a&step=x.${"A".repeat(80)}`))).status,
          200,
          "a step of their own is none",
        );
      },
    );

    await t.test(`HAProxy ${version}: a page of another origin does nothing in somebody's name`, async (t) => {
      const own = holding(sealed(known()));
      for (const [origin, status] of [
        [ORIGIN, 200],
        ["https://evil.example", 403],
        [`https://${OTHER}`, 403],
        ["null", 403],
      ] as const) {
        t.equal((await own.ask(there("/v1/a"), { ...XHR, origin }, "POST")).status, status, origin);
      }
      const told = (site: string) => ({ accept: "*/*", "sec-fetch-site": site });
      for (const [site, status] of [
        ["same-origin", 200],
        ["none", 200],
        ["same-site", 403],
        ["cross-site", 403],
        ["x", 403],
        ["", 403],
      ] as const) {
        t.equal((await own.ask(there("/v1/a"), told(site), "POST")).status, status, `${site}, without Origin`);
      }
      t.equal((await own.ask(there("/v1/a"), told("cross-site"))).status, 200, "a link is for everybody");
      const spoken = await own.ask(there("/v1/a"), { ...told("cross-site"), origin: ORIGIN }, "POST");
      t.equal(spoken.status, 200, "where there is an Origin it says who asks");
      const socket = { ...SOCKET, origin: "https://evil.example" };
      t.equal((await own.ask(there("/v1/a"), socket)).status, 403, "a WebSocket neither");
    });
  }

  await t.test("keys are rotated without a sign-out, and what is gone from the ring signs out", async (t) => {
    const own = browser();
    own.cookies(HOST).set(COOKIE, sealed(known()));
    await command(["keys", "rotate", ring, "--algorithm", "A256GCM", "--after", "0s"]);
    await served.said("reloaded");
    t.equal(keys().length, 2);
    t.equal((await own.ask(`${ORIGIN}/v1/a`, XHR)).status, 200);
    writeFileSync(ring, JSON.stringify({ keys: JSON.parse(readFileSync(ring, "utf8")).keys.slice(1) }));
    await served.said("reloaded", 2);
    t.equal((await own.ask(`${ORIGIN}/v1/a`, XHR)).status, 401);
  });

  await t.test("a kept connection inherits nothing from its last request once the agent is gone", async (t) => {
    const fields = [`host: ${HOST}`, "accept: */*", `cookie: ${COOKIE}=${sealed(known())}`];
    const clients = await Promise.all(fronts.map(({ port }) => RawClient.open(port)));
    const all = () => Promise.all(clients.map((client) => client.request("GET /v1/a HTTP/1.1", fields)));
    t.strictSame(
      (await all()).map(({ status }) => status),
      fronts.map(() => 200),
    );
    const gone = once(served.child, "exit");
    served.child.kill("SIGKILL");
    await gone;
    const received = backend.received.length;
    for (const { status, body } of [...(await all()), ...(await all())])
      t.match([status, JSON.parse(body).reason], [503, "agent-unavailable"]);
    t.equal(backend.received.length, received, "nothing arrived");
    for (const client of clients) client.close();
  });

  await t.test("nothing that is secret is logged", async (t) => {
    t.ok(secrets.length >= 1 + 4 * fronts.length, `${secrets.length} secrets`);
    const logged = [
      ...served.lines.map((line) => JSON.stringify(line)),
      served.errors(),
      ...fronts.flatMap(({ log }) => log),
    ].join("\n");
    t.match(logged, /session-invalid/);
    for (const secret of secrets) t.notOk(logged.includes(secret) || logged.includes(encodeURIComponent(secret)));
  });
});
