import type { Policies } from "../../policies/policies.ts";
import { findingsOf, policiesFrom } from "../support/policies.ts";

/** Numbers that look random and are the same in every run (mulberry32). */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(count: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % count;
  }

  of<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError("nothing to choose from");
    return item;
  }
}

const LITERALS = ["v1", "orders", "items", "order", "a", "a.b", "x@y", "caf%C3%A9", "a%20b", "Orders", "~me"];
const WILDCARDS = ["{a}", "{b}", "{id:[0-9]+}", "{kind:orders|items}", "{code:[a-z]{2,4}-\\d+}"];
const METHODS = ["GET", "GET", "GET", "POST", "*", "*", "GET|PUT", "HEAD", "OPTIONS", "DELETE"];
const HOSTS = ["a.example", "b.example", "*.c.example"];
const ACCESS = [
  "allow: [anyone]",
  "allow: [authenticated]",
  "allow: [reader]",
  "allow: [reader], deny: [other], scopes: [orders:read]",
  "allow: [anyone], when: request.tls",
  "allow: [authenticated], when: 'principal.subject != \"x\"'",
  "allow: [authenticated], optional: true",
  "allow: []",
];
const ROLES = "roles: { reader: [{ issuer: aws, group: r }], other: [{ issuer: aws, group: o }] }\n";
const ORDERS =
  "service: orders, namespace: shop, port: http, pods: { app: orders }, identity: orders.shop, also: [reports.shop]";
const FILES = "service: files, namespace: shop, port: 8080, pods: { app: files }, identity: files.shop";

/** A policy with one meshed Service or two, whatever patterns do not conflict, and backends that are not meshed. */
export function somePolicies(chance: Chance): { readonly text: string; readonly policies: Policies } {
  const shared = chance.below(3) > 0;
  const services = Array.from({ length: 1 + chance.below(3) }, (_, index) => ({
    hosts: shared ? HOSTS.slice(0, 1) : HOSTS.slice(0, 1 + index),
    backend: ["orders", "files", "web"][index] ?? "web",
    preflight: chance.below(4) === 0,
    routes: [] as string[],
  }));
  const probes = chance.below(3) === 0;
  const textOf = (withProbes: boolean) =>
    `${ROLES}services:\n${services
      .filter(({ routes }) => routes.length > 0)
      .map(({ hosts, backend, preflight, routes }) => {
        const mesh = backend === "orders" ? `${ORDERS}${withProbes ? ", probes: [10.1.0.0/16]" : ""}` : FILES;
        const own = backend === "web" ? "" : `\n    mesh: { ${mesh} }`;
        return `  ${backend}:\n    hosts: [${hosts.map((host) => `"${host}"`).join(", ")}]\n    issuers: [aws]\n    backend: ${backend}${own}${preflight ? "\n    preflight: allow" : ""}\n    routes:\n${routes.join("")}`;
      })
      .join("")}`;
  for (let count = 0; count < 10; count++) {
    const service = count === 0 ? services[0] : chance.of(services);
    if (service === undefined) continue;
    const backend = chance.below(4) === 0 ? `, backend: ${chance.of(["orders", "files", "web"])}` : "";
    service.routes.push(
      `      - { name: r${count}, match: ['${somePattern(chance).replaceAll("'", "''")}'], ${chance.of(ACCESS)}${backend} }\n`,
    );
    if (findingsOf(textOf(false)).faults.length > 0) service.routes.pop();
  }
  const text = probes && findingsOf(textOf(true)).faults.length === 0 ? textOf(true) : textOf(false);
  return { text, policies: policiesFrom(text) };
}

function somePattern(chance: Chance): string {
  const segments = Array.from({ length: 1 + chance.below(3) }, () =>
    chance.of(chance.below(3) === 0 ? WILDCARDS : LITERALS),
  );
  const names = new Set<string>();
  const distinct = segments.filter((segment) => !names.has(segment) && names.add(segment));
  const end = chance.below(4);
  if (end === 0) distinct.push("{rest...}");
  if (end === 1 && chance.below(2) === 0) distinct.push("");
  if (chance.below(20) === 0) distinct.splice(0, distinct.length, chance.of(["", "{rest...}"]));
  return `${chance.of(METHODS)} /${distinct.join("/")}`;
}

const SEGMENTS = [
  ...LITERALS,
  "42",
  "0",
  "ab-7",
  "abcde-7",
  "orderss",
  "ord",
  "o",
  "ORDERS",
  "V1",
  "items2",
  "x%40y",
  "caf%c3%a9",
  "caf%C3%a9",
  "%63af%C3%A9",
  "b",
  "a.c",
  "a..b",
  "a%20c",
  "a%2Fb",
  "a%2fb",
  "a;b",
  "a;v=1",
  "a%3Bb",
  "a!$&'()*+,=:b",
  "%21%24",
  "1".repeat(256),
  "1".repeat(257),
  "~you",
  "%7Eme",
];
const ODD = [
  "",
  ".",
  "..",
  "...",
  "a.",
  ".a",
  "%2e",
  "%2e%2e",
  "%2E.",
  "a%20",
  "%20a",
  "%20",
  "%00",
  "%0a",
  "%7f",
  "%25",
  "%252e",
  "%5c",
  "a\\b",
  '"',
  "<",
  "a^b",
  "a|b",
  "{a}",
  "[a]",
  "%5Ba%5D",
  "%",
  "%4",
  "%zz",
  "a%2eb",
  "%2ea",
  "a%7e",
  "%6frders",
  "%C3",
  "%ff%fe",
  "%EF%BC%8F",
  "%E2%80%A6",
  "%C2%A0",
  "%C2%85",
  "a%C2%A0",
  "a?b",
  "a#b",
  "é",
];
const ASKED = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "get"];

/** A request that one of the policies' patterns is about, or nearly. */
export function someRequest(
  { services }: Policies,
  chance: Chance,
): { readonly method: string; readonly path: string } {
  const pattern = chance.of(services.flatMap(({ routes }) => routes).flatMap(({ patterns }) => patterns));
  const segments = pattern.segments.flatMap((segment) => {
    if (chance.below(12) === 0) return [someSegment(chance)];
    if (segment.kind === "literal") return [encodeURI(segment.value)];
    if (segment.kind === "one")
      return [chance.below(2) === 0 ? chance.of(["42", "orders", "ab-7"]) : someSegment(chance)];
    return Array.from({ length: chance.below(4) }, () => someSegment(chance));
  });
  const change = chance.below(8);
  if (change === 0) segments.push("");
  if (change === 1) segments.push(someSegment(chance));
  if (change === 2) segments.pop();
  if (change === 3) segments.splice(chance.below(segments.length + 1), 0, chance.of(ODD));
  const method = chance.below(3) > 0 ? (pattern.methods?.[0] ?? chance.of(ASKED)) : chance.of(ASKED);
  return { method, path: `/${segments.join("/")}` };
}

function someSegment(chance: Chance): string {
  return chance.of(chance.below(4) === 0 ? ODD : SEGMENTS);
}
