import { test } from "tap";
import { findingsOf, policiesFrom } from "../support/policies.ts";

const MESH = "service: orders, namespace: shop, port: http, pods: { app: orders }, identity: orders.shop";
const ROUTES = "[{ name: r, match: [GET /r], allow: [anyone] }]";

interface Written {
  readonly mesh: string;
  readonly routes?: string;
  readonly backend?: string;
}

/** A policy of services, each with a mesh in its third line. */
function policy(...services: readonly Written[]): string {
  const texts = services.map(({ mesh, routes = ROUTES, backend = "b" }, index) => {
    const own = backend === "" ? "" : `    backend: ${backend}\n`;
    return `  s${index}:\n    hosts: [h${index}.example]\n    mesh: { ${mesh} }\n${own}    issuers: [aws]\n    routes: ${routes}\n`;
  });
  return `services:\n${texts.join("")}`;
}

function faultsOf(...services: readonly Written[]): readonly string[] {
  return findingsOf(policy(...services)).faults.map((fault) => fault.replace(/^p\.yaml:/, ""));
}

test("a mesh is taken as it says, with its defaults", (t) => {
  const [first] = policiesFrom(policy({ mesh: MESH })).services;
  t.strictSame(first?.mesh, {
    backend: "b",
    service: "orders",
    namespace: "shop",
    port: "http",
    pods: { app: "orders" },
    identity: "orders.shop",
    protocol: "HTTP/1",
    routes: true,
    probes: [],
    also: [],
  });
  t.end();
});

// What the real proxy took for no identity at all, and so did not check; and what it can never find.
const IGNORED = [
  "",
  "!!!",
  "orders shop",
  "*.shop.serviceaccount.identity.linkerd.cluster.local",
  "*",
  ".orders.shop",
  "orders.shop.",
  "orders.shop.serviceaccount.identity.linkerd.cluster.local.",
  "other.default.serviceaccount.identity.linkerd.cluster.local.",
  "orders.shop,other.shop",
  "10.99.0.2",
  "::1",
  "[::1]",
  "orders",
  "orders_x.shop",
  "Orders.shop",
  "-orders.shop",
  "orders.shop.svc.cluster.local",
  "orders.shop.serviceaccount.identity.",
  "https://mesh.example/orders",
  "spiffe://",
  "spiffe://mesh.example",
  "spiffe://mesh.example/",
  "spiffe://Mesh.example/orders",
  "spiffe://mesh.example/a/../b",
  "spiffe://mesh.example/orders?x",
  "orders.shop\n",
  `${"a".repeat(64)}.shop`,
];

test("an identity that Linkerd would silently ignore, or never find, is a fault where it stands", (t) => {
  const place = MESH.replace("orders.shop", "").length;
  for (const value of IGNORED) {
    const text = JSON.stringify(value);
    const own = faultsOf({ mesh: MESH.replace("orders.shop", () => text) });
    t.equal(own.length, 1, text);
    t.match(own[0], new RegExp(`^4:${13 + place}: .*; one mesh identity: .*Linkerd ignores what it cannot read`), text);
    const also = faultsOf({ mesh: `${MESH}, also: [reports.shop, ${text}]` });
    t.equal(also.length, 1, text);
    t.match(also[0], new RegExp(`^4:${13 + MESH.length + 23}: `), text);
  }
  for (const value of ["[orders.shop]", "{ a: b }", "7", "true", "null"]) {
    t.equal(faultsOf({ mesh: MESH.replace("orders.shop", value) }).length, 1, value);
  }
  const fine = [
    "orders-2.shop",
    "my.app.shop.serviceaccount.identity.linkerd.cluster.local",
    "orders.shop.serviceaccount.identity.linkerd-2.mesh",
    "spiffe://root.linkerd.cluster.local/orders-vm",
  ];
  for (const value of fine) t.strictSame(faultsOf({ mesh: MESH.replace("orders.shop", value) }), [], value);
  t.end();
});

test("an identity whose whole name is too long for DNS is a fault: Linkerd would not check it", (t) => {
  const account = (length: number) => MESH.replace("orders.shop", `${"a".repeat(length)}.${"n".repeat(63)}`);
  const environment = { identitySuffix: `.serviceaccount.identity.linkerd.${"t".repeat(63)}.${"u".repeat(32)}` };
  const found = (length: number) => findingsOf(policy({ mesh: account(length) }), environment).faults;
  t.strictSame(found(59), []);
  t.match(found(61), [/^p\.yaml:4:\d+: an identity whose whole name has 254 characters; at most 253/]);
  t.strictSame(findingsOf(policy({ mesh: account(63) })).faults, [], "where no mesh is configured nothing is known");
  t.end();
});

const SAME = "the first is at p.yaml:4:5";
const FAULTS: readonly (readonly [name: string, services: readonly Written[], faults: readonly string[]])[] = [
  [
    "no backend of its own",
    [{ mesh: MESH, backend: "", routes: "[{ name: r, backend: x, match: [GET /r], allow: [anyone] }]" }],
    [
      "4:5: a `mesh` of a service without a backend of its own; add `backend: NAME` to the service: `mesh` says what stands behind it",
    ],
  ],
  [
    "a second for one backend",
    [{ mesh: MESH }, { mesh: MESH.replaceAll("orders", "reports") }],
    [`10:5: a second \`mesh\` for the backend "b"; say it once, for all that leads there; ${SAME}`],
  ],
  [
    "a second for one port",
    [{ mesh: MESH }, { mesh: MESH, backend: "c" }],
    [`10:5: a second \`mesh\` for port http of orders in shop; one backend for both; ${SAME}`],
  ],
  [
    "opaque with routes",
    [{ mesh: `${MESH}, protocol: opaque` }],
    ["4:115: `opaque` with routes; `routes: false` beside it: the mesh sees no requests there"],
  ],
  [
    "probes without routes",
    [{ mesh: `${MESH}, routes: false, probes: [10.0.0.0/8]` }],
    [
      "4:120: `probes` with `routes: false`; leave it out: for a whole Server they could ask anything, and Linkerd lets the pods' HTTP probes pass by itself",
    ],
  ],
  [
    "networks",
    [{ mesh: `${MESH}, probes: [x, 10.0.0.1, 0.0.0.0/0, "::/0", 10.0.0.1/8]` }],
    [
      '4:114: the text "x"; a network such as 10.0.0.0/16',
      '4:117: the text "10.0.0.1"; a network such as 10.0.0.0/16',
      "4:127: everybody's network; the networks of the nodes that probe",
      "4:138: everybody's network; the networks of the nodes that probe",
      '4:146: bits behind the prefix in 10.0.0.1/8; "10.0.0.0/8", or "10.0.0.1/32" for this address alone',
    ],
  ],
  [
    "probes that may use no route",
    [
      {
        mesh: `${MESH}, probes: [10.0.0.0/8]`,
        routes: `[{ name: r, match: [GET /r], allow: [anyone], when: "request.tls" }, { name: q, match: [GET /q], allow: [anyone], backend: c }]`,
      },
    ],
    [
      '4:105: `probes` without a route that they may use; a route to the backend "b" that allows `anyone` without `when`, for the path that is probed',
    ],
  ],
];

test("what a mesh cannot mean is told with its place", (t) => {
  for (const [name, services, faults] of FAULTS) t.strictSame(faultsOf(...services), faults, name);
  for (const [from, to] of [
    ["port: http", "port: 0"],
    ["port: http", "port: 65536"],
    ["port: http", "port: HTTP"],
    ["port: http", 'port: "80"'],
    ["port: http", "port: name-too-long-now"],
    ["service: orders", "service: orders.shop"],
    ["namespace: shop", "namespace: ''"],
    ["{ app: orders }", "{}"],
    ["{ app: orders }", "{ app: 7 }"],
    ["{ app: orders }", '{ app: "" }'],
    ["{ app: orders }", "{ -app: orders }"],
    ["identity: orders.shop", "identity: orders.shop, protocol: unknown"],
    ["identity: orders.shop", "identity: orders.shop, protocol: http/1"],
  ] as const) {
    t.equal(faultsOf({ mesh: MESH.replace(from, to) }).length, 1, to);
  }
  t.end();
});

test("two meshes that could mean the same pods are warned of", (t) => {
  const warnings = (pods: string, port = "http") =>
    findingsOf(
      policy(
        { mesh: MESH },
        {
          mesh: MESH.replace("{ app: orders }", pods).replace("orders", "reports").replace("http", port),
          backend: "c",
        },
      ),
    ).warnings.filter((warning) => warning.includes("another `mesh`"));
  t.equal(warnings("{ tier: web }").length, 1);
  t.equal(warnings("{ tier: web }", "8080").length, 1);
  t.equal(warnings("{ app: reports }").length, 0);
  t.equal(warnings("{ tier: web }", "admin").length, 0);
  t.end();
});
