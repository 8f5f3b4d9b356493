import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { parse, parseAllDocuments } from "yaml";
import { command, folderOf, MAIN } from "../support/serve.ts";

const page = readFileSync(new URL("../../docs/linkerd.md", import.meta.url), "utf8");
const [MESH = "", POLICY = ""] = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, example]) => example);
const CONFIG = `
listen: { spop: [127.0.0.1:9000] }
policies: ./policies
issuers:
  idp: { type: oidc, issuer: "https://idp.example", audiences: [api://orders] }
haproxy: { version: "3.2", bind: ["*:8080"], scheme: http, backends: { orders: ["10.0.0.7:8080"] } }
`;
const FILES = { "countersign.yaml": CONFIG + MESH, "policies/orders.yaml": POLICY };

test("what the page says to write is generated, into files or the standard output, byte for byte alike", async (t) => {
  const cwd = folderOf(t, FILES);
  const first = await command(["generate", "linkerd", "--output", "mesh"], { cwd });
  t.strictSame(
    [first.code, first.err, first.out],
    [0, "", "written: mesh/linkerd.yaml\nwritten: mesh/kustomization.yaml\n"],
  );
  const text = readFileSync(join(cwd, "mesh/linkerd.yaml"), "utf8");
  const printed = await command(["generate", "linkerd", "--output", "-"], { cwd });
  t.strictSame([printed.code, printed.out], [0, text]);
  t.strictSame(parse(readFileSync(join(cwd, "mesh/kustomization.yaml"), "utf8")).resources, ["linkerd.yaml"]);
  t.strictSame(
    parseAllDocuments(text).map((document) => `${document.get("kind")} ${document.getIn(["metadata", "name"])}`),
    [
      "Server orders-http",
      "MeshTLSAuthentication orders-http.clients",
      "NetworkAuthentication orders-http.probes",
      "HTTPRoute orders.health",
      "AuthorizationPolicy orders.health",
      "AuthorizationPolicy orders.health.probes",
      "HTTPRoute orders.read",
      "AuthorizationPolicy orders.read",
    ],
  );
  const again = await command(["generate", "linkerd", "--output", "mesh", "--json"], { cwd });
  t.strictSame(JSON.parse(again.out), { written: ["mesh/linkerd.yaml", "mesh/kustomization.yaml"] });
  t.equal(readFileSync(join(cwd, "mesh/linkerd.yaml"), "utf8"), text);
  writeFileSync(join(cwd, "mesh/kustomization.yaml"), "resources: [mine.yaml]\n");
  const foreign = await command(["generate", "linkerd", "--output", "mesh"], { cwd });
  t.equal(foreign.code, 73);
  t.match(foreign.err, "mesh/kustomization.yaml is there and was not generated");
});

test("the report lists what the mesh does not ask for, a line or an object each", async (t) => {
  const cwd = folderOf(t, FILES);
  const { code, out } = await command(["generate", "linkerd", "--report"], { cwd });
  t.equal(code, 0);
  t.match(out, /^shop\/orders-http - the host: any passes, .*\n/);
  t.match(out, "shop/orders-http orders/read the credential\n");
  const json = JSON.parse((await command(["generate", "linkerd", "--report", "--json"], { cwd })).out);
  t.strictSame(
    json.unenforced
      .map(({ server, rule, what }: Record<string, string>) => `${server} ${rule || "-"} ${what}`)
      .join("\n"),
    out.trimEnd(),
  );
});

test("without a mesh in configuration or policies, or with what no HTTPRoute can say, nothing is written", async (t) => {
  const bare = POLICY.replace(/^ {4}mesh:.*\n/m, "");
  const odd = POLICY.replace("GET /v1/orders,", "PROPFIND /v1/orders,");
  for (const [files, told] of [
    [{ "countersign.yaml": CONFIG, "policies/orders.yaml": POLICY }, "has no `mesh`: add `mesh: { identity: "],
    [{ "countersign.yaml": CONFIG + MESH, "policies/orders.yaml": bare }, "no service of the policies has a `mesh`"],
    [
      { "countersign.yaml": CONFIG + MESH, "policies/orders.yaml": odd },
      'orders/read: "PROPFIND /v1/orders" asks for the method PROPFIND, which no HTTPRoute can mean exactly; ',
    ],
  ] as const) {
    const { code, out, err } = await command(["generate", "linkerd", "--output", "-"], { cwd: folderOf(t, files) });
    t.strictSame([code, out], [78, ""]);
    t.match(err, told);
  }
});

test("an export is checked from a file or the standard input, and a difference ends it with exit code 1", async (t) => {
  const cwd = folderOf(t, FILES);
  const { out: manifests } = await command(["generate", "linkerd", "--output", "-"], { cwd });
  const pod = `---
apiVersion: v1
kind: Pod
metadata: { name: orders-0, namespace: shop, labels: { app: orders } }
spec: { serviceAccountName: orders, containers: [{ ports: [{ name: http, containerPort: 8080 }] }] }
`;
  writeFileSync(join(cwd, "good.yaml"), manifests + pod);
  writeFileSync(join(cwd, "bad.yaml"), manifests.replace("accessPolicy: deny", "accessPolicy: audit") + pod);
  const good = await command(["generate", "linkerd", "--check", "good.yaml"], { cwd });
  t.strictSame([good.code, good.out, good.err], [0, "the cluster has what the policies say\n", ""]);
  const bad = await command(["generate", "linkerd", "--check", "bad.yaml"], { cwd });
  const what = "its spec has another accessPolicy: apply it anew";
  t.strictSame([bad.code, bad.out], [1, `changed Server shop/orders-http: ${what}\n`]);
  const json = await command(["generate", "linkerd", "--check", "bad.yaml", "--json"], { cwd });
  t.strictSame(JSON.parse(json.out).drift, [{ drift: "changed", object: "Server shop/orders-http", what }]);
  const piped = (file: string) =>
    spawnSync(process.execPath, [MAIN, "generate", "linkerd", "--check", "-"], {
      cwd,
      input: readFileSync(join(cwd, file)),
    });
  t.equal(piped("good.yaml").status, 0);
  t.equal(piped("bad.yaml").status, 1);
  for (const [file, told] of [
    ["none.yaml", "none.yaml is no export of a cluster: ENOENT"],
    ["policies/orders.yaml", "is no export of a cluster: something without apiVersion and kind"],
  ] as const) {
    const { code, out, err } = await command(["generate", "linkerd", "--check", file], { cwd });
    t.strictSame([code, out], [1, ""]);
    t.match(err, told);
  }
  const both = await command(["generate", "linkerd", "--check", "good.yaml", "--report"], { cwd });
  t.strictSame([both.code, /--report and --check: one of them/.test(both.err)], [64, true]);
});
