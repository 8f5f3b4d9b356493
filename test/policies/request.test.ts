import { test } from "tap";
import type { Found } from "../../policies/routing/found.ts";
import { normalizeHost } from "../../policies/routing/host.ts";
import { ambiguityOf, type PathLeniency, STRICT, segmentsOf } from "../../policies/routing/path.ts";
import { parsePattern } from "../../policies/routing/pattern.ts";
import { type NotFound, RouteTable } from "../../policies/routing/routes.ts";

const PATHS: readonly (readonly [string, readonly string[] | undefined])[] = [
  ["/", [""]],
  ["/v1/orders", ["v1", "orders"]],
  ["/v1/orders/", ["v1", "orders", ""]],
  ["/a%20b", ["a b"]],
  ["/caf%C3%A9", ["café"]],
  ["/a:b@c!$&'()*+,=", ["a:b@c!$&'()*+,="]],
  ["/a.b..c", ["a.b..c"]],
  ["/.a%20b.c/%20d", [".a b.c", " d"]],
  ["/...", undefined],
  ["/v1/secret.", undefined],
  ["/v1/secret./x", undefined],
  ["/v1/secret%20", undefined],
  ["/v1/secret%20/x", undefined],
  ["/.%20", undefined],
  ["/.%20.", undefined],
  ["/v1/..%20/admin", undefined],
  ["/%20", undefined],
  ["/v1/secret%c2%a0", undefined],
  ["/v1/secret%E3%80%80/x", undefined],
  ["/a%C2%A0b", ["a\u00a0b"]],
  ["/v1%ef%bc%8fadmin", undefined],
  ["/v1%EF%BC%BCadmin", undefined],
  ["/%ef%bc%8e%ef%bc%8e/admin", undefined],
  ["/%e2%80%a4%e2%80%a4/admin", undefined],
  ["/%e2%80%a5/admin", undefined],
  ["/%e2%80%a6", undefined],
  ["/a%ef%b9%92b", undefined],
  ["/a%e2%84%80b", undefined],
  ["/1%e2%81%842", ["1\u20442"]],
  ["/%E6%97%A5%E6%9C%AC", ["日本"]],
  ["/[a]", undefined],
  ["/%5Ba%5D", ["[a]"]],
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
    ["/a%2541", 2, /percent sign/],
    ["/a%252e", 2, /escaped escape/],
    ["/a./b", 2, /dot or blank at the end/],
    ["/a%E2%80%A6", 2, /take for "\.\.\."/],
    ["/a%c2%a0/b", 2, /blank at the end/],
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
    [{ encodedUnreserved: true }, "/%7euser/%61%2D%2eb", ["~user", "a-.b"]],
    [{ encodedUnreserved: true }, "/%2e%2e/b", undefined],
    [{ encodedUnreserved: true }, "/.%2E/b", undefined],
    [{ encodedUnreserved: true }, "/a%2e", undefined],
    [{ encodedUnreserved: true }, "/a%2e%20/b", undefined],
    [{ encodedUnreserved: true }, "/%25", undefined],
    [{ encodedPercent: true }, "/100%25", ["100%"]],
    [{ encodedPercent: true }, "/50%25%20off/%2541", ["50% off", "%41"]],
    [{ encodedPercent: true }, "/%252e%252e/admin", undefined],
    [{ encodedPercent: true }, "/a%25252Fb", undefined],
    [{ encodedPercent: true }, "/a%255cb", undefined],
    [{ encodedPercent: true }, "/%7e", undefined],
    [{ brackets: true }, "/a[0]/%5Bb%5D", ["a[0]", "[b]"]],
    [{ brackets: true }, "/a{0}", undefined],
    [{ parameters: true }, "/a.;x/b", undefined],
    [{ parameters: true }, "/a%20%3bx", undefined],
    [{ encodedSlash: true }, "/a.%2fb", undefined],
    [{ encodedSlash: true }, "/a%c2%a0%2fb", undefined],
  ];
  for (const [change, path, expected] of cases) {
    const leniency = { ...STRICT, ...change };
    t.strictSame(segmentsOf(path, leniency), expected, `${JSON.stringify(change)} ${path}`);
    t.equal(ambiguityOf(path, leniency) === undefined, expected !== undefined, `${JSON.stringify(change)} ${path}`);
  }
  t.end();
});

test("no character that becomes a dot, a slash or a backslash when it is simplified gets through", (t) => {
  const wrong: string[] = [];
  let refused = 0;
  for (let code = 0xa0; code <= 0x10ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const character = String.fromCodePoint(code);
    const simple = character.normalize("NFKC");
    if (simple === character && code % 97 !== 0) continue;
    const expected = /[./\\]/.test(simple) ? undefined : [`a${character}b`];
    const path = `/a${encodeURIComponent(character)}b`;
    if (expected === undefined) refused++;
    const read = segmentsOf(path)?.[0];
    if (read !== expected?.[0] || (ambiguityOf(path) === undefined) !== (read !== undefined))
      wrong.push(code.toString(16));
  }
  t.strictSame(wrong, []);
  t.ok(refused > 30, `${refused} were refused`);
  t.end();
});

/** Pseudo-random numbers below a limit, the same in each run. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("a path that is read has no segment that a program could shorten or resolve, whatever a service opts in to", (t) => {
  const next = random(18);
  const parts = [
    ".",
    "%2e",
    "%2E",
    "%20",
    "a",
    "b",
    "/",
    "/",
    "%2f",
    ";",
    "%3B",
    "%c2%a0",
    "%e3%80%80",
    "%25",
    "[",
    "~",
  ];
  const names = Object.keys(STRICT) as (keyof PathLeniency)[];
  let read = 0;
  for (let round = 0; round < 200_000; round++) {
    const path = `/${Array.from({ length: 1 + next(7) }, () => parts[next(parts.length)]).join("")}`;
    const leniency = { ...STRICT };
    for (const name of names) leniency[name] = next(2) === 0;
    const segments = segmentsOf(path, leniency);
    if ((ambiguityOf(path, leniency) === undefined) !== (segments !== undefined)) t.fail(`${path}: told otherwise`);
    if (segments === undefined) continue;
    read++;
    for (const piece of segments.join("/").split(/[/;]/)) {
      // What Windows, and who normalizes, would make of it.
      if (/[\s.]$/.test(piece.normalize("NFKC"))) t.fail(`${path} is read as ${JSON.stringify(segments)}`);
    }
  }
  t.ok(read > 1000, `${read} were read`);
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
  ["0x7f000001", undefined],
  ["0X7F.1", undefined],
  ["orders.example.0x10", undefined],
  ["orders.0x", undefined],
  ["0x10.example.com", "0x10.example.com"],
  ["orders.0x1g", "orders.0x1g"],
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
