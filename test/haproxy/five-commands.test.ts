import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { startProvider } from "../../demo/provider.ts";
import { startBackend } from "../support/backend.ts";
import {
  asRoot,
  checkConfig,
  freePort,
  type HaproxyBinary,
  haproxies,
  startHaproxy,
  stockConfig,
} from "../support/haproxy.ts";
import { RawClient } from "../support/http.ts";
import { command, countersign, folderOf, serve } from "../support/serve.ts";

/** Where HAProxy asks: `init` writes the ports 9000 and 9901, or a socket. */
interface Way {
  readonly options: readonly string[];
  /** Debian's haproxy.cfg. */
  readonly stock: string;
  readonly binary: HaproxyBinary;
}

const WAYS: Readonly<Record<string, (t: Test, binary: HaproxyBinary, etc: string) => Way>> = {
  "at a port": (_, binary, etc) => ({ options: [], stock: stockConfig(etc), binary }),
  "at a socket, with chroot and an account of its own": (t, binary, etc) => {
    const jail = folderOf(t, { "countersign/README": "the socket's directory" });
    chmodSync(jail, 0o755);
    const group = process.getgid?.() === 0 ? "nogroup" : String(process.getgid?.());
    return {
      options: ["--socket", join(jail, "countersign/spop.sock"), "--chroot", jail, "--group", group],
      stock: stockConfig(etc, jail),
      binary: asRoot(binary),
    };
  },
};

async function inFiveCommands(t: Test, { options, stock, binary }: Way): Promise<void> {
  const provider = await startProvider({ alice: { kind: "person" } });
  t.teardown(() => provider.close());
  const backend = await startBackend(t);
  const front = await freePort();
  const cwd = folderOf(t, {});

  const init = await countersign(
    [
      "init",
      "--fragment",
      ...["--issuer", provider.issuer, "--audience", "api://orders"],
      ...["--host", "orders.example.com", "--backend", "app", "--bind", `127.0.0.1:${front}`],
      ...options,
    ],
    { cwd },
  );
  t.equal(init.code, 0, init.err);
  t.match(init.out, /Next:\n {2}countersign check .*\n {2}haproxy .* -c\n {2}countersign serve .*\n {2}haproxy /);

  const check = await countersign(["check"], { cwd });
  t.strictSame([check.code, check.err], [0, ""]);
  t.match(check.out, /Your own haproxy\.cfg has to have these backends.*: app\./);

  const read = (name: string) => readFileSync(join(cwd, name), "utf8");
  const files = {
    "haproxy.cfg": `${stock}\nbackend app\n    server app1 127.0.0.1:${backend.port}\n`,
    "countersign.cfg": read("countersign.cfg"),
    "countersign.spoe.conf": read("countersign.spoe.conf"),
  };
  t.equal(checkConfig(binary, files).status, 0);

  await serve(t, cwd, { spop: 9000, admin: 9901 });
  await startHaproxy(t, binary, files, front);

  const client = await RawClient.open(front);
  t.teardown(() => client.close());
  const token = await provider.token("alice");
  const ask = (...fields: string[]) => client.request("GET / HTTP/1.1", ["host: orders.example.com", ...fields]);
  while ((await ask(`authorization: Bearer ${token}`)).status !== 200)
    await new Promise((done) => setTimeout(done, 50));
  t.strictSame(backend.last("x-auth-subject"), ["alice"]);
  t.strictSame(backend.last("authorization"), []);
  const refused = await ask();
  t.match(refused, { status: 401, headers: { "www-authenticate": 'Bearer realm="orders.example.com"' } });
}

// docs/getting-started.md, command by command.
for (const binary of haproxies()) {
  const { etc } = binary;
  if (etc === undefined) continue;
  for (const [name, way] of Object.entries(WAYS)) {
    test(`HAProxy ${binary.version} ${name}: from Debian's haproxy.cfg to the first allowed and the first refused request in five commands`, (t) =>
      inFiveCommands(t, way(t, binary, etc)));
  }
}

test("init says what is wrong with a socket", async (t) => {
  const init = (...options: string[]) => {
    const args = ["--issuer", "https://idp.example", "--audience", "a", "--host", "a.example", "--backend", "a:80"];
    return command(["init", ...args, ...options], { cwd: t.testdir() });
  };
  const jail = "/var/lib/haproxy";
  t.match(await init("--socket", "run/a"), { code: 64, err: '--socket: "run/a" is not an absolute path' });
  t.match(await init("--socket", "/run/a", "--chroot", jail), {
    code: 64,
    err: "/run/a is not below /var/lib/haproxy",
  });
  t.match(await init("--socket", jail, "--chroot", jail), { code: 64, err: `${jail} is not below ${jail}` });
  t.match(await init("--chroot", jail), { code: 64, err: "go with --socket" });
});

test("init refuses an issuer that is another, or not there, and overwrites nothing", async (t) => {
  const provider = await startProvider({});
  t.teardown(() => provider.close());
  const cwd = folderOf(t, {});
  const init = (issuer: string, ...more: string[]) =>
    countersign(["init", "--issuer", issuer, "--audience", "api://orders", "--host", "orders.example.com", ...more], {
      cwd,
    });
  const slash = await init(`${provider.issuer}/`, "--backend", "10.0.0.7:8080");
  t.equal(slash.code, 78);
  t.match(slash.err, `the document names another issuer: "${provider.issuer}", and not "${provider.issuer}/"`);
  const absent = await init(`http://127.0.0.1:${await freePort()}`, "--backend", "10.0.0.7:8080");
  t.equal(absent.code, 78);
  t.match(absent.err, "the issuer cannot be looked up");
  const plain = await init("http://idp.example", "--backend", "10.0.0.7:8080");
  t.match(plain.err, "https: whoever stands between could swap the keys");
  t.equal((await init(provider.issuer, "--backend", "10.0.0.7:8080")).code, 0);
  const before = readFileSync(join(cwd, "countersign.yaml"), "utf8");
  const again = await init(provider.issuer, "--backend", "10.0.0.8:8080");
  t.equal(again.code, 73);
  t.match(again.err, "countersign.yaml is there already");
  t.equal(readFileSync(join(cwd, "countersign.yaml"), "utf8"), before);
  t.match(readFileSync(join(cwd, "haproxy.cfg"), "utf8"), "server orders1 10.0.0.7:8080");
});
