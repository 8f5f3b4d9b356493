import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { parse, parseAllDocuments } from "yaml";
import { command, folderOf } from "../support/serve.ts";

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
  t.equal(foreign.code, 78);
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
