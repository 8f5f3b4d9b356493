import { readFileSync } from "node:fs";
import { test } from "tap";
import { policiesFrom } from "../support/policies.ts";

const root = new URL("../..", import.meta.url);
const page = readFileSync(new URL("docs/policies.md", root), "utf8");
const { properties, definitions } = JSON.parse(readFileSync(new URL("policies/policy-file.schema.json", root), "utf8"));

/** The first column of the first table after a line. */
function keysAfter(line: string): readonly string[] {
  const text = page.slice(page.indexOf(`\n${line}`));
  const table = /\n\|[^\n]*\n\|---[^\n]*\n((?:\|[^\n]*\n)+)/.exec(text)?.[1] ?? "";
  return table
    .trimEnd()
    .split("\n")
    .map((row) => /^\| `([^`]+)`/.exec(row)?.[1] ?? row);
}

const TABLES: readonly (readonly [line: string, schema: object])[] = [
  ["## The file", properties],
  ["## A binding", definitions.binding.properties],
  ["## A service", definitions.service.properties],
  ["### mesh", definitions.mesh.properties],
  ["### resource", definitions.resource.properties],
  ["### step_up", definitions.stepUp.properties],
  ["`cors` has:", definitions.cors.properties],
  ["`paths` has:", definitions.service.properties.paths.properties],
  ["## A route", definitions.route.properties],
  ["`mcp` has:", definitions.route.properties.mcp.properties],
];

test("the page explains every key of a policy file, and no other", (t) => {
  for (const [line, schema] of TABLES) t.strictSame(new Set(keysAfter(line)), new Set(Object.keys(schema)), line);
  t.end();
});

test("what a service's and a route's tables call required is what the schema requires", (t) => {
  for (const [heading, schema] of [
    ["## A service", definitions.service],
    ["## A route", definitions.route],
    ["### mesh", definitions.mesh],
    ["### resource", definitions.resource],
  ] as const) {
    const section = page.slice(page.indexOf(heading)).slice(1).split(/\n#+ /)[0] ?? "";
    const required = [...section.matchAll(/^\| `([^`]+)` \|[^|]*\| required \|/gm)].map(([, key]) => key);
    t.strictSame(required, schema.required, heading);
  }
  t.end();
});

test("the page's mesh is one, and what it says of the route to another backend holds", (t) => {
  const example = /### mesh\n.*?```yaml\n(.*?)```/s.exec(page)?.[1] ?? "";
  const [service] = policiesFrom(example.replace("hosts:", "issuers: [aws]\n    hosts:")).services;
  t.match(service?.mesh, { backend: "orders", service: "orders", port: "http", protocol: "HTTP/1", routes: true });
  t.strictSame(
    service?.routes.map(({ name, backend }) => [name, backend === service.mesh?.backend]),
    [
      ["read", true],
      ["export", false],
      ["health", true],
    ],
  );
  t.end();
});
