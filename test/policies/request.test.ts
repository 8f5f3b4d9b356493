import { test } from "tap";
import { normalizeHost } from "../../policies/routing/host.ts";
import { ambiguityOf, type PathLeniency, STRICT, segmentsOf } from "../../policies/routing/path.ts";
import { parsePattern } from "../../policies/routing/pattern.ts";
import { type Found, type NotFound, RouteTable } from "../../policies/routing/routes.ts";

const PATHS: readonly (readonly [string, readonly string[] | undefined])[] = [
  ["/", [""]],
  ["/v1/orders", ["v1", "orders"]],
  ["/v1/orders/", ["v1", "orders", ""]],
  ["/a%20b", ["a b"]],
  ["/caf%C3%A9", ["café"]],
  ["/a:b@c!$&'()*+,=", ["a:b@c!$&'()*+,="]],
  ["/...", ["..."]],
  ["/.well-known/x", [".well-known", "x"]],
  ["", undefined],
  ["*", undefined],
  ["orders", undefined],
  ["http://orders.example.com/v1", undefined],
  ["/.", undefined],
  ["/..", undefined],
  ["/v1/../admin", undefined],
  ["/v1/./orders", undefined],
  ["/v1/%2e%2e/admin", undefined],
  ["/v1/%2E/admin", undefined],
  ["/v1/.%2e/admin", undefined],
  ["//v1", undefined],
  ["/v1//orders", undefined],
  ["/v1/orders//", undefined],
  ["/v1\\admin", undefined],
  ["/v1%5cadmin", undefined],
  ["/v1%2fadmin", undefined],
  ["/v1%2Fadmin", undefined],
  ["/v1/%00", undefined],
  ["/v1/%0d%0a", undefined],
  ["/v1/%7f", undefined],
  ["/%61dmin", undefined],
  ["/%7euser", undefined],
  ["/%252e%252e", undefined],
  ["/%25", undefined],
  ["/%", undefined],
  ["/%4", undefined],
  ["/%zz", undefined],
  ["/%ff", undefined],
  ["/%c2%80", undefined],
  ["/%c2%9f", undefined],
  ["/%c0%ae", undefined],
  ["/%ed%a0%80", undefined],
  ["/%c3%a9%a9", undefined],
  ["/%a9", undefined],
  ["/a%e2%82", undefined],
  ["/%f4%90%80%80", undefined],
  ["/a;b=c", undefined],
  ["/a%3bb=c", undefined],
  ["/..;/admin", undefined],
  ["/a?b", undefined],
  ["/a#b", undefined],
  ["/a b", undefined],
  ["/a\tb", undefined],
  ['/a"b', undefined],
  ["/a<b>", undefined],
  ["/a|b", undefined],
  ["/{id}", undefined],
  ["/é", undefined],
];

test("a path that two programs could read differently is not read at all", (t) => {
  for (const [path, expected] of PATHS) t.strictSame(segmentsOf(path), expected, JSON.stringify(path));
  t.end();
});

const shown = (found: Found<string> | NotFound) =>
  "reason" in found ? found : { value: found.value, params: found.params };

test("no route takes a path that is not read, not even one for all that is left", (t) => {
  const all = parsePattern("* /{path...}");
  if ("offset" in all) throw new Error(all.found);
  const table = new RouteTable([{ pattern: all, value: "all" }]);
  for (const [path, segments] of PATHS) {
    const expected =
      segments === undefined ? { reason: "path-ambiguous" } : { value: "all", params: { path: segments.join("/") } };
    t.strictSame(shown(table.find("GET", path)), expected, JSON.stringify(path));
  }
  t.end();
});

test("what makes a path ambiguous is told with its place", (t) => {
  for (const [path, segments] of PATHS) {
    t.equal(ambiguityOf(path) === undefined, segments !== undefined, JSON.stringify(path));
  }
  const cases: readonly (readonly [string, number, RegExp])[] = [
    ["orders", 0, /does not begin with \//],
    ["/v1/../admin", 4, /dot segment/],
    ["/v1//orders", 4, /empty segment/],
    ["/v1/a%2fb", 5, /encoded slash/],
    ["/v1/a;b", 5, /semicolon/],
    ["/v1%5cadmin", 3, /backslash/],
    ["/a b", 2, /cannot hold/],
    ["/a%4", 2, /malformed escape/],
    ["/a%252e", 2, /percent sign/],
    ["/a%0a", 2, /control character/],
    ["/a%c2%85", 2, /control character/],
    ["/%61dmin", 1, /escape of a letter/],
    ["/%c3%a9%ff", 7, /not UTF-8/],
  ];
  for (const [path, offset, found] of cases) t.match(ambiguityOf(path), { offset, found }, path);
  t.end();
});

test("a service opts in to one thing at a time, and never to a dot segment", (t) => {
  const cases: readonly (readonly [Partial<PathLeniency>, string, readonly string[] | undefined])[] = [
    [{ encodedSlash: true }, "/a%2fb", ["a/b"]],
    [{ encodedSlash: true }, "/a;b", undefined],
    [{ encodedSlash: true }, "/a%5cb", undefined],
    [{ emptySegments: true }, "/a//b", ["a", "", "b"]],
    [{ emptySegments: true }, "/a%2fb", undefined],
    [{ parameters: true }, "/a;b=c", ["a;b=c"]],
    [{ parameters: true }, "/..;/b", undefined],
    [{ parameters: true }, "/.;x", undefined],
    [{ parameters: true, encodedSlash: true, emptySegments: true }, "/a/../b", undefined],
    [{ parameters: true, encodedSlash: true, emptySegments: true }, "/%2e%2e%2fb", undefined],
    [{ encodedSlash: true }, "/a%2Fb%2f", ["a/b/"]],
    [{ encodedSlash: true }, "/a%2f%2fb", undefined],
    [{ encodedSlash: true }, "/a%2f/b", undefined],
    [{ encodedSlash: true }, "/a/%2fb", undefined],
    [{ encodedSlash: true }, "/%2fa", undefined],
    [{ encodedSlash: true, emptySegments: true }, "/a%2f%2fb", ["a//b"]],
    [{ parameters: true }, "/a%3bb", ["a;b"]],
    [{ parameters: true }, "/a/;b", undefined],
    [{ parameters: true }, "/a/..%3b/b", undefined],
    [{ parameters: true, emptySegments: true }, "/a/;b", ["a", ";b"]],
    [{ encodedSlash: true }, "/..%2fadmin", undefined],
    [{ encodedSlash: true }, "/a%2f..%2fadmin", undefined],
    [{ encodedSlash: true }, "/a%2f..", undefined],
    [{ encodedSlash: true, parameters: true }, "/a%2f..;x", undefined],
  ];
  for (const [change, path, expected] of cases) {
    const leniency = { ...STRICT, ...change };
    t.strictSame(segmentsOf(path, leniency), expected, `${JSON.stringify(change)} ${path}`);
    t.equal(ambiguityOf(path, leniency) === undefined, expected !== undefined, `${JSON.stringify(change)} ${path}`);
  }
  t.end();
});

const HOSTS: readonly (readonly [string, string | undefined])[] = [
  ["orders.example.com", "orders.example.com"],
  ["Orders.EXAMPLE.com:8443", "orders.example.com"],
  ["localhost", "localhost"],
  ["127.0.0.1:80", "127.0.0.1"],
  ["[::1]:443", "[::1]"],
  ["[2001:DB8::1]", "[2001:db8::1]"],
  ["[0:0:0:0:0:0:0:1]", "[::1]"],
  ["[2001:0db8:0::0:1]:80", "[2001:db8::1]"],
  ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]"],
  ["", undefined],
  [":80", undefined],
  ["orders.example.com.", undefined],
  ["orders..example.com", undefined],
  [".example.com", undefined],
  ["-a.example.com", undefined],
  ["a-.example.com", undefined],
  ["orders.example.com:", undefined],
  ["orders.example.com:x", undefined],
  ["orders.example.com:1", "orders.example.com"],
  ["orders.example.com:65535", "orders.example.com"],
  ["orders.example.com:00443", "orders.example.com"],
  ["orders.example.com:65536", undefined],
  ["orders.example.com:99999", undefined],
  ["[::1]:65536", undefined],
  ["127.0.0.1:0", undefined],
  ["orders.example.com:00000", undefined],
  ["orders.example.com:000443", undefined],
  ["orders.example.com:443:443", undefined],
  ["evil,orders.example.com", undefined],
  ["user@orders.example.com", undefined],
  ["orders.example.com/x", undefined],
  ["orders.example.com%00", undefined],
  ["a b", undefined],
  ["::1", undefined],
  ["[::1", undefined],
  ["[::g]", undefined],
  ["[1:2]", undefined],
  ["127.1", undefined],
  ["2130706433", undefined],
  ["127.0.0.256", undefined],
  ["127.0.0.1.5", undefined],
  ["é.example.com", undefined],
  ["\u212aey.example.com", undefined],
  [`${"a".repeat(64)}.com`, undefined],
  [`${"a.".repeat(130)}com`, undefined],
];

test("a host is a host name or an address literal, in one form", (t) => {
  for (const [raw, expected] of HOSTS) t.equal(normalizeHost(raw), expected, JSON.stringify(raw));
  t.end();
});
