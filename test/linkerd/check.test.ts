import { test } from "tap";
import { stringify } from "yaml";
import { driftOf } from "../../linkerd/compare.ts";
import { readExport } from "../../linkerd/export.ts";
import type { LinkerdInput } from "../../linkerd/input.ts";
import { manifestsOf } from "../../linkerd/manifests.ts";
import { policiesFrom } from "../support/policies.ts";

const POLICY = (port: string) => `services:
  orders:
    hosts: [a.example]
    issuers: [aws]
    backend: orders
    mesh: { service: orders, namespace: shop, port: ${port}, pods: { app: orders }, identity: orders.shop, probes: [10.0.0.0/16] }
    routes:
      - { name: read, match: [GET /v1/orders], allow: [authenticated] }
      - { name: health, match: [GET /healthz], allow: [anyone] }
`;

function inputOf(port = "http"): LinkerdInput {
  const { revision, services } = policiesFrom(POLICY(port));
  return {
    revision,
    services,
    mesh: { trustDomain: "cluster.local", controlPlane: "linkerd", identity: "haproxy.ingress" },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: whatever a cluster holds
type Any = any;

function deployment(changes: Any = {}): Any {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "orders", namespace: "shop" },
    spec: {
      template: {
        metadata: { labels: { app: "orders", tier: "web" } },
        spec: {
          serviceAccountName: "orders",
          containers: [{ name: "app", ports: [{ name: "http", containerPort: 8080 }] }],
          ...changes,
        },
      },
    },
  };
}

/** What `kubectl get … -o yaml` gives of a cluster that has all of it. */
function cluster(port = "http"): Any[] {
  const objects = JSON.parse(JSON.stringify(manifestsOf(inputOf(port))));
  for (const object of objects) {
    object.metadata = { ...object.metadata, uid: "1", resourceVersion: "2", creationTimestamp: "2026-11-28T00:00:00Z" };
    object.metadata.annotations["countersign.dev/revision"] = "of another day";
    object.status = { parents: [] };
  }
  return [...objects, deployment()];
}

/** The differences of a cluster, after this change of it. */
function drift(change: (objects: Any[]) => Any[] | undefined, port = "http"): readonly string[] {
  const objects = cluster(port);
  const changed = change(objects) ?? objects;
  const text = stringify({ apiVersion: "v1", kind: "List", items: changed }, { aliasDuplicateObjects: false });
  return driftOf(inputOf(port), readExport(text)).map((each) => `${each.drift} ${each.object}: ${each.what}`);
}

function find(objects: Any[], kind: string, name: string): Any {
  return objects.find((object) => object.kind === kind && object.metadata.name === name);
}

function policyObject(kind: string, name: string, spec: Any, version = "policy.linkerd.io/v1alpha1"): Any {
  return { apiVersion: version, kind, metadata: { name, namespace: "shop" }, spec };
}

test("a cluster that has what the policies say differs in nothing, as a List or as documents", (t) => {
  t.strictSame(
    drift(() => undefined),
    [],
  );
  const documents = cluster().map((object) => stringify(object));
  t.strictSame(driftOf(inputOf(), readExport(documents.join("---\n"))), []);
  t.strictSame(
    driftOf(inputOf(), readExport(JSON.stringify({ apiVersion: "v1", kind: "List", items: cluster() }))),
    [],
  );
  // A cluster exports the version that it prefers.
  t.strictSame(
    drift((objects) => {
      find(objects, "Server", "orders-http").apiVersion = "policy.linkerd.io/v1beta2";
      return undefined;
    }),
    [],
  );
  t.end();
});

test("every object that is missing is told", (t) => {
  for (const { kind, metadata } of manifestsOf(inputOf())) {
    const told = drift((objects) => objects.filter((object) => object !== find(objects, kind, metadata.name)));
    t.equal(told[0], `missing ${kind} shop/${metadata.name}: it is not in the cluster: apply it`);
    // What names it is told, too.
    const named = ["Server", "MeshTLSAuthentication", "NetworkAuthentication", "HTTPRoute"].includes(kind);
    t.equal(told.length > 1, named, kind);
    for (const each of told.slice(1))
      t.match(each, new RegExp(`^dangling .*: it names the ${kind} shop/${metadata.name}, `));
  }
  t.equal(
    drift(() => []).length,
    manifestsOf(inputOf()).length + 1,
    "an empty export is no cluster without difference",
  );
  t.end();
});

test("every change of an object's spec is told", (t) => {
  const changes: readonly (readonly [string, string, string, (spec: Any) => void])[] = [
    [
      "Server",
      "orders-http",
      "accessPolicy",
      (spec) => {
        spec.accessPolicy = "audit";
      },
    ],
    [
      "Server",
      "orders-http",
      "podSelector",
      (spec) => {
        spec.podSelector.matchLabels.app = "x";
      },
    ],
    [
      "Server",
      "orders-http",
      "port",
      (spec) => {
        spec.port = 8080;
      },
    ],
    [
      "Server",
      "orders-http",
      "proxyProtocol",
      (spec) => {
        delete spec.proxyProtocol;
      },
    ],
    [
      "MeshTLSAuthentication",
      "orders-http.clients",
      "identities",
      (spec) => {
        spec.identities.push("*");
      },
    ],
    [
      "NetworkAuthentication",
      "orders-http.probes",
      "networks",
      (spec) => {
        spec.networks[0].cidr = "0.0.0.0/0";
      },
    ],
    [
      "HTTPRoute",
      "orders.read",
      "rules",
      (spec) => {
        spec.rules[0].matches.push({ path: { type: "PathPrefix", value: "/" } });
      },
    ],
    [
      "HTTPRoute",
      "orders.read",
      "hostnames",
      (spec) => {
        spec.hostnames = ["x"];
      },
    ],
    [
      "AuthorizationPolicy",
      "orders.read",
      "requiredAuthenticationRefs",
      (spec) => {
        spec.requiredAuthenticationRefs = [];
      },
    ],
    [
      "AuthorizationPolicy",
      "orders.read",
      "targetRef",
      (spec) => {
        spec.targetRef.name = "orders.health";
      },
    ],
  ];
  for (const [kind, name, key, change] of changes) {
    const told = drift((objects) => {
      change(find(objects, kind, name).spec);
      return undefined;
    });
    t.strictSame(told, [`changed ${kind} shop/${name}: its spec has another ${key}: apply it anew`], key);
  }
  t.end();
});

const GATEWAY = "gateway.networking.k8s.io/v1";
const TO_SERVER = { group: "policy.linkerd.io", kind: "Server", name: "orders-http" };
const CLIENTS = [{ group: "policy.linkerd.io", kind: "MeshTLSAuthentication", name: "orders-http.clients" }];

test("what others put there and changes who gets in is told", (t) => {
  const policy = (targetRef: Any, requiredAuthenticationRefs: Any[] = CLIENTS) =>
    policyObject("AuthorizationPolicy", "x", { targetRef, requiredAuthenticationRefs });
  const all = "all that the Server orders-http has: remove it";
  for (const [object, what] of [
    [policy(TO_SERVER), `it lets others in at ${all}`],
    [policy(TO_SERVER, []), `it lets everyone in at ${all}`],
    [policy({ kind: "Namespace", name: "shop" }), `it lets others in at ${all}`],
    [
      policy({ group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "orders.read" }),
      "it lets others in at the HTTPRoute orders.read: remove it",
    ],
    [
      policyObject(
        "ServerAuthorization",
        "x",
        { server: { name: "orders-http" }, client: {} },
        "policy.linkerd.io/v1beta1",
      ),
      "it lets others in at the Server orders-http: remove it",
    ],
    [
      policyObject(
        "ServerAuthorization",
        "x",
        { server: { selector: { matchLabels: { "app.kubernetes.io/managed-by": "countersign" } } } },
        "policy.linkerd.io/v1beta1",
      ),
      "it lets others in at the Server orders-http: remove it",
    ],
    [
      policyObject("ServerAuthorization", "x", { server: { selector: {} } }, "policy.linkerd.io/v1beta1"),
      "it lets others in at the Server orders-http: remove it",
    ],
    [
      policyObject("HTTPRoute", "x", { parentRefs: [TO_SERVER], rules: [] }, GATEWAY),
      "it takes requests of the Server orders-http, and whoever is authorized for it gets in: remove it",
    ],
    [
      policyObject("HTTPRoute", "orders.read", { parentRefs: [TO_SERVER] }, "policy.linkerd.io/v1beta3"),
      "it takes requests of the Server orders-http, and whoever is authorized for it gets in: remove it",
    ],
    [
      policyObject("GRPCRoute", "x", { parentRefs: [TO_SERVER] }, GATEWAY),
      "it takes requests of the Server orders-http, and whoever is authorized for it gets in: remove it",
    ],
    [
      policyObject("Server", "x", {
        podSelector: { matchLabels: { tier: "web" } },
        port: 8080,
        accessPolicy: "all-unauthenticated",
      }),
      "it may mean the pods and port of the Server orders-http, and Linkerd obeys the older one: remove it",
    ],
    [
      policyObject("Server", "x", { podSelector: {}, port: "http" }),
      "it may mean the pods and port of the Server orders-http, and Linkerd obeys the older one: remove it",
    ],
  ] as const) {
    t.strictSame(
      drift((objects) => [...objects, object]),
      [`foreign ${object.kind} shop/${object.metadata.name}: ${what}`],
      JSON.stringify(object.spec),
    );
  }
  for (const object of [
    policy({ group: "policy.linkerd.io", kind: "Server", name: "orders-http" }),
    policyObject("Server", "y", { podSelector: {}, port: "http" }),
  ]) {
    object.metadata.namespace = "elsewhere";
    t.strictSame(
      drift((objects) => [...objects, object]).filter((each) => each.startsWith("foreign")),
      [],
    );
  }
  for (const object of [
    policyObject("Server", "y", { podSelector: { matchLabels: { app: "other" } }, port: "http" }),
    policyObject("Server", "y", { podSelector: { matchLabels: { app: "orders" } }, port: "admin" }),
    policyObject("ServerAuthorization", "y", { server: { name: "other" } }, "policy.linkerd.io/v1beta1"),
    policyObject("HTTPRoute", "y", { parentRefs: [{ kind: "Service", name: "orders" }] }, GATEWAY),
    { apiVersion: "v1", kind: "Service", metadata: { name: "orders", namespace: "shop" }, spec: {} },
  ]) {
    t.strictSame(
      drift((objects) => [...objects, object]),
      [],
      JSON.stringify(object),
    );
  }
  t.end();
});

test("a reference to what is not there is told, whosever it is", (t) => {
  const own = policyObject("AuthorizationPolicy", "x", {
    targetRef: { group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "gone" },
    requiredAuthenticationRefs: [
      { group: "policy.linkerd.io", kind: "NetworkAuthentication", name: "lost" },
      { group: "policy.linkerd.io", kind: "MeshTLSAuthentication", name: "far", namespace: "elsewhere" },
      { kind: "ServiceAccount", name: "some" },
    ],
  });
  const route = policyObject("HTTPRoute", "y", { parentRefs: [{ ...TO_SERVER, name: "none" }] }, GATEWAY);
  t.strictSame(
    drift((objects) => [...objects, own, route]),
    [
      "dangling AuthorizationPolicy shop/x: it names the HTTPRoute shop/gone, which is not there: Linkerd ignores it",
      "dangling AuthorizationPolicy shop/x: it names the NetworkAuthentication shop/lost, which is not there: Linkerd ignores it",
      "dangling AuthorizationPolicy shop/x: it names the MeshTLSAuthentication elsewhere/far, which is not there: Linkerd ignores it",
      "dangling HTTPRoute shop/y: it names the Server shop/none, which is not there: Linkerd ignores it",
    ],
  );
  t.end();
});

test("a port that no container declares, another service account, and an export without workloads are told", (t) => {
  const without = (objects: Any[]) => objects.filter(({ kind }) => kind !== "Deployment");
  const declared = (port: string | number) =>
    `no container declares the port ${port}: Linkerd lets pass what comes there first. Add it to \`ports\``;
  const ports = (list: Any) => deployment({ containers: [{ ports: list }] });
  for (const list of [
    undefined,
    [],
    [{ containerPort: 80 }],
    [{ name: "web", containerPort: 80 }],
    [{ name: "http", protocol: "UDP" }],
  ]) {
    t.strictSame(
      drift((objects) => [...without(objects), ports(list)]),
      [`undeclared Deployment shop/orders: ${declared("http")}`],
    );
  }
  t.strictSame(
    drift((objects) => [...without(objects), ports([{ name: "http", containerPort: 80 }])], "8080"),
    [`undeclared Deployment shop/orders: ${declared(8080)}`],
  );
  t.strictSame(
    drift((objects) => [...without(objects), ports([{ containerPort: 8080 }])], "8080"),
    [],
  );
  const pod = { ...deployment().spec.template, apiVersion: "v1", kind: "Pod", status: { phase: "Running" } };
  pod.metadata = { ...pod.metadata, name: "orders-0", namespace: "shop" };
  t.strictSame(
    drift((objects) => [...without(objects), pod]),
    [],
  );
  t.strictSame(
    drift((objects) => [...without(objects), { ...pod, spec: { containers: [] } }]),
    [
      `undeclared Pod shop/orders-0: ${declared("http")}`,
      "changed Pod shop/orders-0: it runs as default.shop, and `identity` says orders.shop",
    ],
  );
  const unseen = [
    "unseen Server shop/orders-http: no pod or workload with its labels is in the export: their ports cannot be told",
  ];
  t.strictSame(drift(without), unseen);
  t.strictSame(
    drift((objects) => [...without(objects), { ...pod, status: { phase: "Succeeded" } }]),
    unseen,
  );
  t.strictSame(
    drift((objects) => [...without(objects), { ...pod, metadata: { ...pod.metadata, namespace: "other" } }]),
    unseen,
  );
  t.end();
});

test("what is no export is told, and whatever stands in one is only read", (t) => {
  for (const text of ["a: [", "- 1", "kind: List\nitems: []", "x"]) t.throws(() => readExport(text), text);
  const odd = {
    apiVersion: "policy.linkerd.io/v1alpha1",
    kind: "AuthorizationPolicy",
    metadata: { name: 7, namespace: "shop" },
    spec: [null],
  };
  t.strictSame(
    drift((objects) => [
      ...objects,
      odd,
      { apiVersion: "v1", kind: "X" },
      { ...odd, spec: { targetRef: 3, requiredAuthenticationRefs: "x" } },
      { ...odd, kind: "Pod", spec: { containers: [3] } },
    ]),
    [],
  );
  t.end();
});
