import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { type Document, parseAllDocuments, stringify } from "yaml";
import { REPOSITORY } from "./places.ts";

const CONFIG = "demo/mesh/countersign.yaml";

/** The pods of the meshed Service, as a cluster has them. */
const POD = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "orders-0", namespace: "shop", labels: { app: "orders" } },
  spec: {
    serviceAccountName: "orders",
    containers: [{ name: "orders", ports: [{ name: "http", containerPort: 8080 }] }],
  },
};

/** What somebody in a hurry has applied beside: whoever asks passes. */
const OPEN = {
  apiVersion: "policy.linkerd.io/v1alpha1",
  kind: "AuthorizationPolicy",
  metadata: { name: "debugging", namespace: "shop" },
  spec: {
    targetRef: { group: "policy.linkerd.io", kind: "Server", name: "orders-http" },
    requiredAuthenticationRefs: [],
  },
};

/**
 * Shows what the mesh is told of two routes, and what `--check` says of a cluster that has it and of one that has not.
 * No cluster is needed: the exports are made here.
 *
 * @returns whether it went as it should
 */
export function showMesh(): boolean {
  const generated = countersign(["generate", "linkerd", "--output", "-"]);
  console.log(`One policy, demo/mesh/policies/orders.yaml, and two enforcement points.\n`);
  console.log(`$ countersign generate linkerd --output - --config ${CONFIG}\n${generated.text}`);
  const objects = parseAllDocuments(generated.text).map((document) => (document as Document).toJS());
  const good = check("A cluster that has been given this:", [...objects, POD]);
  const closed = objects.filter(({ kind }) => kind !== "MeshTLSAuthentication");
  const bare = { ...POD, spec: { ...POD.spec, containers: [{ name: "orders" }] } };
  const bad = check(
    "One where an object was lost, somebody opened the port to debug, and the pods do not declare it:",
    [...closed, OPEN, bare],
  );
  return generated.code === 0 && good === 0 && bad === 1;
}

/** @returns the exit code */
function check(what: string, objects: readonly unknown[]): number | null {
  const exported = objects.map((object) => stringify(object)).join("---\n");
  const { code, text } = countersign(["generate", "linkerd", "--check", "-"], exported);
  console.log(
    `${what}\n\n$ kubectl get -A -o yaml … | countersign generate linkerd --check - --config ${CONFIG}\n${text}`,
  );
  console.log(`exit code ${code}\n`);
  return code;
}

function countersign(args: readonly string[], input = ""): { readonly code: number | null; readonly text: string } {
  const command = [resolve(REPOSITORY, "agent/main.ts"), ...args, "--config", resolve(REPOSITORY, CONFIG)];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { input, encoding: "utf8" });
  return { code: status, text: `${stdout}${stderr}` };
}
