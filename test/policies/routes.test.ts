import { test } from "tap";
import { conflictsOf } from "../../policies/routing/conflicts.ts";
import type { Found } from "../../policies/routing/found.ts";
import { HostTable, parseHostPattern } from "../../policies/routing/hosts.ts";
import { STRICT } from "../../policies/routing/path.ts";
import { type Pattern, parsePattern } from "../../policies/routing/pattern.ts";
import { type NotFound, RouteTable } from "../../policies/routing/routes.ts";

function pattern(text: string): Pattern {
  const parsed = parsePattern(text);
  if ("offset" in parsed) throw new Error(`${text}: ${parsed.found} at ${parsed.offset}`);
  return parsed;
}

function tableOf(...texts: readonly string[]): RouteTable<string> {
  return new RouteTable(texts.map((text) => ({ pattern: pattern(text), value: text })));
}

/** The pattern that a request such as `GET /v1/orders` leads to, or the reason why none. */
function lead(table: RouteTable<string>, request: string, leniency = STRICT): string {
  const [method = "", path = ""] = request.split(" ");
  const found = table.find(method, path, leniency);
  return "reason" in found ? found.reason : found.value;
}

const ROUTES = [
  "GET /v1/orders",
  "POST /v1/orders",
  "* /v1/{kind:orders|items}",
  "GET /v1/orders/{id}",
  "GET /v1/orders/{id:[0-9]+}",
  "GET /v1/orders/7",
  "HEAD /v1/orders/7",
  "GET /v1/orders/{id:[0-9]+}/items",
  "GET /v1/orders/latest/{part}",
  "GET /v1/orders/latest/items",
  "* /v1/files/{path...}",
  "GET|PUT /v1/files/{path...}",
  "GET /v1/files/public/{path...}",
  "DELETE /v1/files/{name}",
  "GET /healthz",
  "GET /café/{name}",
  "GET /a%20b@c%3fd",
  "GET /",
  "* /{rest...}",
];

const LEADS: readonly (readonly [string, string])[] = [
  ["GET /v1/orders", "GET /v1/orders"],
  ["HEAD /v1/orders", "GET /v1/orders"],
  ["POST /v1/orders", "POST /v1/orders"],
  ["DELETE /v1/orders", "* /v1/{kind:orders|items}"],
  ["get /v1/orders", "* /v1/{kind:orders|items}"],
  ["GET /v1/items", "* /v1/{kind:orders|items}"],
  ["GET /v1/item", "* /{rest...}"],
  ["GET /v1/itemss", "* /{rest...}"],
  ["GET /v1/", "* /{rest...}"],
  ["GET /v1/orders/", "* /{rest...}"],
  ["GET /v1/orders/x", "GET /v1/orders/{id}"],
  ["GET /v1/orders/42", "GET /v1/orders/{id:[0-9]+}"],
  ["HEAD /v1/orders/42", "GET /v1/orders/{id:[0-9]+}"],
  ["GET /v1/orders/42x", "GET /v1/orders/{id}"],
  ["GET /v1/orders/7", "GET /v1/orders/7"],
  ["HEAD /v1/orders/7", "HEAD /v1/orders/7"],
  ["POST /v1/orders/7", "* /{rest...}"],
  ["GET /v1/orders/x/items", "* /{rest...}"],
  ["GET /v1/orders/42/items", "GET /v1/orders/{id:[0-9]+}/items"],
  ["GET /v1/orders/7/items", "GET /v1/orders/{id:[0-9]+}/items"],
  ["GET /v1/orders/7/other", "* /{rest...}"],
  ["GET /v1/orders/latest/items", "GET /v1/orders/latest/items"],
  ["GET /v1/orders/latest/other", "GET /v1/orders/latest/{part}"],
  ["GET /v1/files", "GET|PUT /v1/files/{path...}"],
  ["POST /v1/files", "* /v1/files/{path...}"],
  ["PUT /v1/files/", "GET|PUT /v1/files/{path...}"],
  ["HEAD /v1/files/a/b/c/", "GET|PUT /v1/files/{path...}"],
  ["GET /v1/files/public", "GET /v1/files/public/{path...}"],
  ["HEAD /v1/files/public/x", "GET /v1/files/public/{path...}"],
  ["PUT /v1/files/public/x", "GET|PUT /v1/files/{path...}"],
  ["GET /v1/files/publicity", "GET|PUT /v1/files/{path...}"],
  ["DELETE /v1/files/a", "DELETE /v1/files/{name}"],
  ["DELETE /v1/files/", "* /v1/files/{path...}"],
  ["DELETE /v1/files/a/b", "* /v1/files/{path...}"],
  ["GET /healthz", "GET /healthz"],
  ["GET /healthz/", "* /{rest...}"],
  ["GET /caf%C3%A9/x", "GET /café/{name}"],
  ["GET /caf%c3%a9/x", "GET /café/{name}"],
  ["GET /cafe/x", "* /{rest...}"],
  ["GET /a%20b%40c%3Fd", "GET /a%20b@c%3fd"],
  ["GET /", "GET /"],
  ["HEAD /", "GET /"],
  ["POST /", "* /{rest...}"],
];

test("the most specific pattern wins, in whatever order the policy has them", (t) => {
  t.strictSame(conflictsOf(ROUTES.map(pattern)), []);
  for (const table of [tableOf(...ROUTES), tableOf(...ROUTES.toReversed())]) {
    for (const [request, expected] of LEADS) t.equal(lead(table, request), expected, request);
  }
  t.end();
});

test("an ambiguous path is refused before an unknown one, and that before a method", (t) => {
  const table = tableOf("GET /v1/orders", "POST /v1/{kind}", "PUT|DELETE /v1/orders/{id:[0-9]+}", "GET /v2/{path...}");
  const cases: readonly (readonly [string, string])[] = [
    ["GET /v1/orders/../x", "path-ambiguous"],
    ["PATCH /v1/orders%2f", "path-ambiguous"],
    ["GET /nowhere//", "path-ambiguous"],
    ["GET *", "path-ambiguous"],
    ["GET ", "path-ambiguous"],
    ["GET /", "route-unknown"],
    ["GET /v1", "route-unknown"],
    ["GET /v1/", "route-unknown"],
    ["POST /v1/", "route-unknown"],
    ["PUT /v1/orders/x", "route-unknown"],
    ["PATCH /v1/orders", "method-not-allowed"],
    ["HEAD /v1/other", "method-not-allowed"],
    ["put /v1/orders/7", "method-not-allowed"],
    ["GET /v1/orders/7", "method-not-allowed"],
    ["POST /v2", "method-not-allowed"],
    ["__proto__ /v2", "method-not-allowed"],
    ["POST /v1/orders", "POST /v1/{kind}"],
  ];
  for (const [request, expected] of cases) t.equal(lead(table, request), expected, request);
  t.equal(lead(tableOf(), "GET /"), "route-unknown");
  t.equal(lead(tableOf(), "GET //"), "path-ambiguous");
  t.end();
});

test("a literal path is found only as a client may write it", (t) => {
  const table = tableOf("GET /café", "GET /a%3fb", "GET /.well-known/x");
  const cases: readonly (readonly [string, string])[] = [
    ["GET /caf%C3%A9", "GET /café"],
    ["GET /café", "path-ambiguous"],
    ["GET /a%3Fb", "GET /a%3fb"],
    ["GET /a?b", "path-ambiguous"],
    ["GET /.well-known/x", "GET /.well-known/x"],
  ];
  for (const [request, expected] of cases) t.equal(lead(table, request), expected, request);
  t.end();
});

const captured = (found: Found<string> | NotFound) => ("reason" in found ? found.reason : found.params);

test("captures are percent-decoded, and hold no separator that the path has not", (t) => {
  const slashes = { ...STRICT, encodedSlash: true };
  const empties = { ...STRICT, emptySegments: true };
  const cases: readonly (readonly [string, string, Record<string, string>, typeof STRICT?])[] = [
    ["* /{a}/{b}", "/caf%C3%A9/a%20b", { a: "café", b: "a b" }],
    ["* /{a}/x/{b:[0-9]+}", "/toString/x/7", { a: "toString", b: "7" }],
    ["* /files/{path...}", "/files", { path: "" }],
    ["* /files/{path...}", "/files/", { path: "" }],
    ["* /files/{path...}", "/files/a", { path: "a" }],
    ["* /files/{path...}", "/files/a/b%20c/", { path: "a/b c/" }],
    ["* /{tenant}/{path...}", "/acme/a/b", { tenant: "acme", path: "a/b" }],
    ["* /{path...}", "/", { path: "" }],
    ["* /plain", "/plain", {}],
    ["* /{name}", "/a%2fb", { name: "a/b" }, slashes],
    ["* /{path...}", "/a%2fb/c%2F", { path: "a%2Fb/c%2F" }, slashes],
    ["* /{name}", "/a%26b%3Dc", { name: "a&b=c" }],
    ["* /{path...}", "/a//b", { path: "a//b" }, empties],
    ["* /{name}", "/a;v=1", { name: "a;v=1" }, { ...STRICT, parameters: true }],
  ];
  for (const [text, path, params, leniency] of cases) {
    t.strictSame(captured(tableOf(text).find("GET", path, leniency)), params, `${text} ${path}`);
  }
  t.end();
});

test("a known path keeps the captures of a wildcard that another method has there", (t) => {
  const table = tableOf("GET /v1/orders", "* /v1/{kind}", "GET /v1/{kind}");
  t.equal(lead(table, "GET /v1/orders"), "GET /v1/orders");
  t.strictSame(captured(table.find("GET", "/v1/orders")), {});
  t.equal(lead(table, "PUT /v1/orders"), "* /v1/{kind}");
  t.strictSame(captured(table.find("PUT", "/v1/orders")), { kind: "orders" });
  t.end();
});

test("what a service lets pass is never an empty segment for a wildcard", (t) => {
  const all = { ...STRICT, encodedSlash: true, emptySegments: true, parameters: true };
  const cases: readonly (readonly [string, Partial<typeof STRICT>, string])[] = [
    ["/a//b", all, "route-unknown"],
    ["/a/x/b", all, "* /a/{one}/b"],
    ["/a/%2f%2f/b", { encodedSlash: true }, "path-ambiguous"],
    ["/a/x%2f%2fy/b", { encodedSlash: true }, "path-ambiguous"],
    ["/a/%2fx/b", { encodedSlash: true }, "path-ambiguous"],
    ["/a/x%2f/b", { encodedSlash: true }, "path-ambiguous"],
    ["/a/x%2fy/b", { encodedSlash: true }, "* /a/{one}/b"],
    ["/a/x%2f%2fy/b", all, "* /a/{one}/b"],
    ["/a/;x/b", { parameters: true }, "path-ambiguous"],
    ["/a/%3bx/b", { parameters: true }, "path-ambiguous"],
    ["/a/x;y/b", { parameters: true }, "* /a/{one}/b"],
    ["/a/x%3by/b", {}, "path-ambiguous"],
  ];
  const table = tableOf("* /a/{one}/b");
  for (const [path, change, expected] of cases) {
    t.equal(lead(table, `GET ${path}`, { ...STRICT, ...change }), expected, `${JSON.stringify(change)} ${path}`);
  }
  t.end();
});

test("an expression must fit the whole decoded segment, in linear time", (t) => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ["[0-9]+", "42", true],
    ["[0-9]+", "42a", false],
    ["[0-9]+", "a42", false],
    ["a|ab", "ab", true],
    ["^a$", "a", true],
    ["[0-9]*", "", false],
    ["c.+", "caf%C3%A9", true],
    ["caf.", "caf%C3%A9", true],
    ["[0-9]{2}", "42", true],
    ["[0-9]{2}", "423", false],
    ["\\{x\\}", "%7Bx%7D", true],
    ["\\{", "%7B", true],
    ["a\\}", "a%7D", true],
    ["[^/]+", "x", true],
    ["(a*)*b", "a".repeat(256), false],
    ["a+", "a".repeat(256), true],
    ["a+", "a".repeat(257), false],
  ];
  for (const [expression, segment, fits] of cases) {
    const expected = fits ? "found" : "route-unknown";
    const table = new RouteTable([{ pattern: pattern(`GET /a/{x:${expression}}`), value: "found" }]);
    t.equal(lead(table, `GET /a/${segment}`), expected, `${expression} ${segment}`);
  }
  t.end();
});

test("two patterns of which neither is more specific are a conflict, with a request that both match", (t) => {
  const cases: readonly (readonly [string, string, "equal" | "overlap", string])[] = [
    ["GET /a", "GET /a", "equal", "GET /a"],
    ["GET /a", "GET|HEAD /a", "equal", "GET /a"],
    ["GET|PUT /a", "PUT|GET /a", "equal", "GET /a"],
    ["* /a", "* /a", "equal", "GET /a"],
    ["GET /{x}", "GET /{y}", "equal", "GET /x"],
    ["GET /{x:[0-9]+}", "GET /{y:[0-9]+}", "equal", "GET /1"],
    ["GET /a/{x...}", "GET /a/{y...}", "equal", "GET /a"],
    ["* /{x...}", "* /{y...}", "equal", "GET /"],
    ["GET /caf%C3%A9", "GET /café", "equal", "GET /caf%C3%A9"],
    ["GET|PUT /a", "PUT|POST /a", "overlap", "PUT /a"],
    ["HEAD|PUT /a", "GET /a", "overlap", "HEAD /a"],
    ["GET /a/{x}", "GET /{y}/b", "overlap", "GET /a/b"],
    ["* /a", "GET /{x}", "overlap", "GET /a"],
    ["GET|PUT /a/b", "GET /a/{x}", "overlap", "GET /a/b"],
    ["HEAD /{x}", "GET /a", "overlap", "HEAD /a"],
    ["* /a/b/{x...}", "GET /a/{y...}", "overlap", "GET /a/b"],
    ["GET /a/{x...}", "GET /{y}", "overlap", "GET /a"],
    ["GET /a/{x...}", "GET /{y}/", "overlap", "GET /a/"],
    ["GET /a/{x...}", "GET /{y}/b/c", "overlap", "GET /a/b/c"],
    ["GET /{x:[0-9]+}", "GET /{y:[0-9a-f]+}", "overlap", "GET /1"],
    ["GET /{x:[A-Z]{3}}", "GET /{y:[A-Z]+}", "overlap", "GET /AAA"],
    ["GET /{x:ord_[0-9]+}/{y}", "GET /{z}/b", "overlap", "GET /ord_1/b"],
    ["GET /{x:[0-9]+}/{y}", "GET /{z}/b%3fc%23d", "overlap", "GET /1/b%3Fc%23d"],
    ["GET /{x:[0-9a-f-]{36}}/{z}", "GET /{y}/b", "overlap", "GET /00000000-0000-4000-8000-000000000000/b"],
  ];
  for (const [one, two, kind, example] of cases) {
    t.strictSame(conflictsOf([pattern(one), pattern(two)]), [{ first: 0, second: 1, kind, example }], `${one}, ${two}`);
    t.match(conflictsOf([pattern(two), pattern(one)]), [{ first: 0, second: 1, kind }], `${two}, ${one}`);
    for (const text of [one, two]) t.equal(lead(tableOf(text), example), text, `${example} is one of ${text}`);
  }
  t.end();
});

test("two expressions overlap even where no segment is known that fits both", (t) => {
  const [conflict] = conflictsOf(["GET /{x:[0-9]+}", "GET /{y:[a-z]+}"].map(pattern));
  t.match(conflict, { kind: "overlap", example: "GET /{[0-9]+ and [a-z]+}" });
  t.end();
});

test("patterns that share no request, or of which one is the more specific, are no conflict", (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ["GET /a", "POST /a"],
    ["GET /a", "GET /b"],
    ["GET /a", "GET /a/"],
    ["GET /a/", "GET /a/{x}"],
    ["GET /a/{x}", "GET /a/{y}/c"],
    ["GET /{x:[0-9]+}", "GET /a"],
    ["GET /{x:[0-9]+}/b", "GET /{y:[a-z]+}/c"],
    ["GET /a/{x}", "PUT /{y}/b"],
    ["GET /a", "* /a"],
    ["HEAD /a", "GET /a"],
    ["GET /a", "GET|PUT /a"],
    ["GET /a", "* /{x}"],
    ["GET /7", "GET /{x:[0-9]+}"],
    ["GET /{x:[0-9]+}", "GET /{y}"],
    ["GET /a/b", "GET /a/{x...}"],
    ["GET /a", "GET /a/{x...}"],
    ["GET /a/{x}/{y...}", "GET /a/{z...}"],
    ["GET /a", "* /{x...}"],
    ["GET /", "GET /{x...}"],
  ];
  for (const [one, two] of cases) {
    t.strictSame(conflictsOf([pattern(one), pattern(two)]), [], `${one}, ${two}`);
    t.strictSame(conflictsOf([pattern(two), pattern(one)]), [], `${two}, ${one}`);
  }
  t.end();
});

test("many conflicts are cut short, and many routes are found", (t) => {
  const same = Array.from({ length: 10_000 }, () => pattern("GET /a/{x}"));
  t.equal(conflictsOf(same).length, 100);
  const texts = Array.from({ length: 3_000 }, (_, n) => [
    `GET /s${n}/orders`,
    `GET /s${n}/orders/{id}`,
    `* /s${n}/{path...}`,
  ]);
  const table = tableOf(...texts.flat());
  t.strictSame(conflictsOf(texts.flat().map(pattern)), []);
  for (const n of [0, 1, 1_499, 2_999]) {
    t.equal(lead(table, `GET /s${n}/orders`), `GET /s${n}/orders`);
    t.equal(lead(table, `GET /s${n}/orders/7`), `GET /s${n}/orders/{id}`);
    t.equal(lead(table, `PUT /s${n}/orders/7`), `* /s${n}/{path...}`);
  }
  t.end();
});

// A universe small enough to try all of it. For any two patterns below it holds what tells their sets of requests apart:
// `z` and POST, which none names, and for the two expressions a segment of each alone and one of both.
const SEGMENTS = ["a", "b", "0", "z"];
const METHODS = ["GET", "HEAD", "PUT", "POST"];
const LISTS = ["GET", "HEAD", "PUT", "GET|PUT", "HEAD|PUT", "*"];
const PARTS = [...SEGMENTS.slice(0, 3), "{N}", "{N}", "{N:[0a]}", "{N:[0b]}"];
const LASTS = [...PARTS, "", "{N...}", "{N...}"];
const PATHS = [1, 2, 3].flatMap((length) => pathsOf(length)).flatMap((path) => [path, `${path}/`]);
const REQUESTS = METHODS.flatMap((method) => ["/", ...PATHS].map((path) => `${method} ${path}`));

function pathsOf(length: number): readonly string[] {
  const shorter = length === 1 ? [""] : pathsOf(length - 1);
  return shorter.flatMap((path) => SEGMENTS.map((segment) => `${path}/${segment}`));
}

/** What a pattern means, said again in other words: the requests that it takes. */
function requestsOf(text: string): ReadonlySet<string> {
  const [methods = "", path = ""] = text.split(" ");
  const allowed = methods === "*" ? METHODS : methods.replace("GET", "GET|HEAD").split("|");
  const segments = path.replace(/\/\{\w+\.\.\.\}$/, "(/.*)?").replaceAll(/\{\w+\}/g, "[^/]+");
  const whole = new RegExp(`^(${allowed.join("|")}) ${segments.replaceAll(/\{\w+:([^}]+)\}/g, "$1")}$`);
  return new Set(REQUESTS.filter((request) => whole.test(request)));
}

/** Mulberry32. */
function randomFrom(seed: number): <T>(list: readonly T[]) => T {
  let state = seed;
  return (list) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return list[((mixed ^ (mixed >>> 14)) >>> 0) % list.length] as (typeof list)[number];
  };
}

function randomPattern(pick: ReturnType<typeof randomFrom>): string {
  const parts = Array.from({ length: pick([0, 1, 2]) }, () => pick(PARTS));
  const path = [...parts, pick(LASTS)].map((part, at) => part.replace("N", `n${at}`));
  return `${pick(LISTS)} /${path.join("/")}`;
}

function relation(a: ReadonlySet<string>, b: ReadonlySet<string>): "equal" | "overlap" | undefined {
  const both = [...a].filter((request) => b.has(request)).length;
  if (both === a.size && both === b.size) return "equal";
  return both === 0 || both === a.size || both === b.size ? undefined : "overlap";
}

test("random patterns mean what trying every request says", (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  t.comment(`SEED=${seed}`);
  const pick = randomFrom(seed);
  const known = new Map<string, ReadonlySet<string>>();
  const meaning = (text: string) => known.get(text) ?? known.set(text, requestsOf(text)).get(text) ?? new Set();
  for (let round = 0; round < 100; round++) {
    const texts = Array.from({ length: 8 }, () => randomPattern(pick));
    const expected = texts.flatMap((one, first) =>
      texts.flatMap((two, second) => {
        const kind = first < second ? relation(meaning(one), meaning(two)) : undefined;
        return kind === undefined ? [] : [{ first, second, kind }];
      }),
    );
    const conflicts = conflictsOf(texts.map(pattern));
    const told = conflicts.map(({ first, second, kind }) => ({ first, second, kind }));
    t.strictSame(told, expected, `SEED=${seed} conflicts of ${texts.join(", ")}`);
    const untrue = conflicts.filter(({ first, second, example }) =>
      [first, second].some((at) => lead(tableOf(texts[at] ?? ""), example) !== texts[at]),
    );
    t.strictSame(untrue, [], `SEED=${seed} examples`);
    const without = texts.filter((_, at) => !expected.some(({ second }) => second === at));
    const table = tableOf(...without);
    const wrong = REQUESTS.flatMap((request) => {
      const right = mostSpecific(without, request, meaning);
      const found = lead(table, request);
      return found === right ? [] : [{ request, found, right }];
    });
    t.strictSame(wrong, [], `SEED=${seed} ${without.join(", ")}`);
  }
  t.end();
});

function mostSpecific(
  texts: readonly string[],
  request: string,
  meaning: (text: string) => ReadonlySet<string>,
): string {
  const path = request.slice(request.indexOf(" "));
  const fits = texts.filter((text) => METHODS.some((method) => meaning(text).has(method + path)));
  const matches = fits.filter((text) => meaning(text).has(request));
  const winner = matches.toSorted((a, b) => meaning(a).size - meaning(b).size)[0];
  return winner ?? (fits.length > 0 ? "method-not-allowed" : "route-unknown");
}

test("a pattern that means nothing is refused, with the place and what would be right", (t) => {
  const cases: readonly (readonly [string, number, RegExp, RegExp])[] = [
    ["", 0, /without a space/, /`GET \/v1\/orders`/],
    ["/v1/orders", 0, /without a space/, /`\*` is any method/],
    ["GET\t/v1", 0, /without a space/, /a space/],
    [" /v1", 0, /no method/, /`\*` alone/],
    ["get /v1", 0, /lower case/, /GET/],
    ["GET|Put /v1", 4, /Put in lower case/, /PUT/],
    ["GET||PUT /v1", 4, /no method/, /GET/],
    ["GET| /v1", 4, /no method/, /GET/],
    ["GET|PUT|GET /v1", 8, /GET a second time/, /once/],
    ["GET|* /v1", 4, /`\*`/, /alone/],
    ["GET,PUT /v1", 0, /`GET,PUT`/, /GET\|PUT/],
    ["ANY /v1", 0, /ANY for a method/, /`\*` alone/],
    ["GET|ALL /v1", 4, /ALL for a method/, /`\*` alone/],
    ["DELTE|PUT /v1", 0, /the method DELTE, which is not known/, /^did you mean DELETE\? Else for one of your own/],
    ["GET|PSOT /v1", 4, /PSOT/, /^did you mean POST\?/],
    ["delte /v1", 0, /delte/, /^did you mean DELETE\?/],
    ["FETCH /v1", 0, /FETCH/, /^one that is registered; .* `\*`, and `when: request\.method == "FETCH"`/],
    ["m-search /v1", 0, /lower case/, /M-SEARCH/],
    [
      "* /admin/*",
      9,
      /`\*`, which has no meaning/,
      /\{name\} for one segment, \{name\.\.\.\} for all that is left; %2A where/,
    ],
    ["GET /a/**/b", 7, /`\*\*`/, /%2A%2A/],
    ["GET /users/:id", 11, /`:`/, /%3A/],
    ["GET /a/<id>", 7, /`<id>`/, /%3Cid%3E/],
    ["GET /^a", 5, /`\^`/, /%5E/],
    ["GET /a$", 6, /`\$`/, /%24/],
    ["GET /a/(.+)", 8, /`\.\+`/, /\.%2B/],
    ["GET /a/{id:.*}", 11, /elsewhere takes several segments/, /\{name\.\.\.\}/],
    ["GET /a/{id:^(.+)$}", 11, /elsewhere takes several segments/, /\{name\.\.\.\}/],
    ["GÉT /v1", 0, /`GÉT`/, /GET\|PUT/],
    ["GET  /v1", 4, /does not begin with \//, /\//],
    ["GET v1", 4, /does not begin with \//, /\//],
    ["GET https://a.example/v1", 4, /does not begin with \//, /\//],
    ["GET ", 4, /does not begin with \//, /\//],
    ["GET /a//b", 7, /empty segment/, /leave it out/],
    ["GET //", 5, /empty segment/, /leave it out/],
    ["GET /a//{path...}", 7, /empty segment/, /leave it out/],
    ["GET /a/../b", 7, /dot segment/, /meant/],
    ["GET /a/.", 7, /dot segment/, /meant/],
    ["GET /a/%2e%2e/b", 7, /escape of a letter/, /itself/],
    ["GET /a%2Fb", 6, /encoded slash/, /leave it out/],
    ["GET /a\\b", 6, /backslash/, /leave it out/],
    ["GET /a;b", 6, /semicolon/, /leave it out/],
    ["GET /a%zz", 6, /malformed escape/, /hexadecimal/],
    ["GET /%C3%A9%ff", 11, /not UTF-8/, /UTF-8/],
    ["GET /%c3é", 5, /not UTF-8/, /UTF-8/],
    ["GET /é/a b", 8, /cannot hold/, /percent-encode/],
    ["GET /a?b=c", 6, /cannot hold/, /percent-encode/],
    ["GET /a./b", 6, /dot or blank at the end/, /leave it out/],
    ["GET /a%20", 6, /dot or blank at the end/, /leave it out/],
    ["GET /日本／a", 7, /take for "\/"/, /leave it out/],
    ["GET /a\u2026", 6, /take for "\.\.\."/, /leave it out/],
    ["GET /a/\u3000", 7, /blank at the end/, /leave it out/],
    ["GET /a[0]", 6, /bracket/, /percent-encode/],
    ["GET /a\u0085", 6, /control character/, /leave it out/],
    ["GET /a\ud800b", 6, /half a character/, /leave it out/],
    ["GET /a/x{id}", 8, /brace within/, /whole segment/],
    ["GET /a/{id}x/b", 11, /`x` behind/, /whole segment/],
    ["GET /a/b}", 8, /brace within/, /whole segment/],
    ["GET /a/{id", 7, /without its }/, /close it/],
    ["GET /a/{id:[{]}", 7, /without its }/, /\\{/],
    ["GET /a/{id:[}]}", 13, /`\]` behind/, /\\}/],
    ["GET /a/{}", 7, /`{}`/, /{id}/],
    ["GET /a/{Id}", 7, /`{Id}`/, /a-z, 0-9 and _/],
    ["GET /a/{1d}", 7, /`{1d}`/, /a-z, 0-9 and _/],
    ["GET /a/{$}", 7, /`{\$}`/, /{id}/],
    ["GET /a/{path...:x}", 7, /`{path...:x}`/, /{path...}/],
    ["GET /a/{__proto__}", 8, /__proto__/, /another/],
    ["GET /a/{constructor}", 8, /constructor/, /another/],
    ["GET /{id}/a/{id}", 13, /second capture `id`/, /another/],
    ["GET /{id}/{id:[0-9]+}", 11, /second capture `id`/, /another/],
    ["GET /{path...}/a", 5, /before the end/, /last/],
    ["GET /{path...}/", 5, /before the end/, /last/],
    ["GET /a/{id:}", 11, /empty expression/, /no colon/],
    ["GET /a/{id:[0-9}", 11, /RE2 refuses.*missing closing \]/, /RE2 syntax/],
    ["GET /a/{id:(?=x)}", 11, /RE2 refuses/, /RE2 syntax/],
    ["GET /a/{id:(a)\\1}", 11, /RE2 refuses/, /RE2 syntax/],
    [`GET /a/{id:${"a".repeat(257)}}`, 11, /too long/, /256/],
    ["GET /a/{id:(.{100}){9}}", 11, /takes too long/, /smaller repetitions/],
    ["GET /a/{id:[ab]*a[ab]{30}}", 11, /takes too long/, /smaller repetitions/],
    ["GET /a/{id:(?:.{0,9}a){20}}", 11, /takes too long/, /smaller repetitions/],
    [`GET ${"/a".repeat(65)}`, 133, /too many segments/, /64/],
    [`GET /${"a".repeat(1020)}`, 1024, /too long/, /1024/],
    ["GET /.countersign/login", 4, /`\/\.countersign`/, /web listener/],
    ["* /.countersign/{path...}", 2, /`\/\.countersign`/, /web listener/],
    ["GET /.countersign", 4, /`\/\.countersign`/, /web listener/],
    ["GET /.well-known/oauth-protected-resource", 4, /oauth-protected-resource`/, /web listener/],
    ["GET /.well-known/oauth-protected-resource/{x}", 4, /oauth-protected-resource`/, /web listener/],
  ];
  for (const [text, offset, found, right] of cases) t.match(parsePattern(text), { offset, found, right }, text);
  t.end();
});

test("a pattern is read as it is written", (t) => {
  const text = "GET|M-SEARCH /v1/{id:[0-9]{1,3}}/{_x1}/caf%C3%A9/{path...}";
  const read = pattern(text);
  t.match(read, { text, methods: ["GET", "M-SEARCH"], captures: ["id", "_x1", "path"] });
  t.match(read.segments, [
    { kind: "literal", value: "v1" },
    { kind: "one", name: "id", expression: { text: "[0-9]{1,3}" } },
    { kind: "one", name: "_x1", expression: undefined },
    { kind: "literal", value: "café" },
    { kind: "rest", name: "path" },
  ]);
  t.equal(pattern("* /").methods, undefined);
  for (const near of [
    "GET /.countersigned",
    "GET /.well-known/{x}",
    "GET /.well-known/oauth-protected-resources",
    "* /{p...}",
  ]) {
    t.equal(pattern(near).text, near);
  }
  t.equal(pattern(`GET ${"/a".repeat(64)}`).segments.length, 64);
  t.end();
});

test("a host leads to its exact name, then to the longest wildcard", (t) => {
  const hosts = ["example.com", "a.example.com", "*.example.com", "*.b.example.com", "*.c", "127.0.0.1", "[::1]"];
  const table = new HostTable(hosts.map((host) => ({ host, value: host })));
  const cases: readonly (readonly [string, string | undefined])[] = [
    ["example.com", "example.com"],
    ["a.example.com", "a.example.com"],
    ["x.example.com", "*.example.com"],
    ["x.y.z.example.com", "*.example.com"],
    ["b.example.com", "*.example.com"],
    ["x.b.example.com", "*.b.example.com"],
    ["x.a.example.com", "*.example.com"],
    ["xexample.com", undefined],
    ["com", undefined],
    ["c", undefined],
    ["x.c", "*.c"],
    [`${"x.".repeat(100)}c`, "*.c"],
    ["127.0.0.1", "127.0.0.1"],
    ["[::1]", "[::1]"],
    ["*.example.com", "*.example.com"],
    ["constructor", undefined],
  ];
  for (const [host, expected] of cases) t.equal(table.find(host), expected, host);
  t.equal(new HostTable([]).find("example.com"), undefined);
  t.equal(new HostTable([{ host: "a.b", value: 1 }]).find("x.a.b"), undefined);
  t.end();
});

test("a sign that other tools give a meaning is written as an escape where it is meant itself", (t) => {
  const cases = [
    ["/a/%2A", "/a/*"],
    ["/a/x%2A%2a", "/a/x**"],
    ["/users/%3Aid", "/users/:id"],
    ["/a%24", "/a$"],
    ["/a/.%2B", "/a/.+"],
    ["/a/%3Cid%3E", "/a/%3cid%3e"],
    ["/$metadata/v1:cancel", "/$metadata/v1:cancel"],
  ] as const;
  for (const [pattern, path] of cases) {
    const table = tableOf(`GET ${pattern}`);
    t.match(table.find("GET", path), { value: `GET ${pattern}` }, path);
    t.match(table.find("GET", "/a/b"), { reason: "route-unknown" }, "and nothing else");
  }
  t.end();
});

test("a host is written as requests are judged: lower case, without scheme and port", (t) => {
  for (const host of [
    "orders.example.com",
    "localhost",
    "*.example.com",
    "*.a1",
    "my_host",
    "10.0.0.1",
    "[2001:db8::1]",
  ]) {
    t.strictSame(parseHostPattern(host), { host });
  }
  const cases: readonly (readonly [string, number, RegExp, RegExp])[] = [
    ["", 0, /empty/, /`orders\.example\.com`/],
    ["Orders.Example.com", 0, /upper case/, /^`orders\.example\.com`$/],
    ["orders.Example.com", 7, /upper case/, /^`orders\.example\.com`$/],
    ["https://Orders.example.com/x", 0, /scheme/, /^`orders\.example\.com`$/],
    ["orders.example.com/x", 18, /path/, /^`orders\.example\.com`$/],
    ["orders.example.com:443", 18, /port/, /^`orders\.example\.com`$/],
    ["*.example.com:443", 13, /port/, /^`\*\.example\.com`$/],
    ["[::1]:443", 5, /port/, /^`\[::1\]`$/],
    ["orders.example.com.", 18, /dot/, /^`orders\.example\.com`$/],
    ["::1", 0, /without brackets/, /^`\[::1\]`$/],
    ["[0:0:0:0:0:0:0:1]", 0, /short form/, /^`\[::1\]`$/],
    ["[::g]", 0, /malformed/, /such as/],
    ["*", 0, /\*/, /`\*\.example\.com`/],
    ["*.", 1, /dot/, /such as/],
    ["a.*.com", 2, /\*/, /`\*\.example\.com`/],
    ["*.*.com", 2, /\*/, /`\*\.example\.com`/],
    ["*example.com", 0, /\*/, /`\*\.example\.com`/],
    ["*.127.0.0.1", 0, /wildcard before an address/, /such as/],
    ["*.[::1]", 0, /wildcard before an address/, /such as/],
    ["127.1", 0, /neither/, /^`127\.0\.0\.1`$/],
    ["caf\u00e9.example.com", 3, /character/, /^`xn--caf-dma\.example\.com`$/],
    ["-a.example.com", 0, /neither/, /such as/],
    ["a..b", 0, /neither/, /such as/],
    [`${"a".repeat(64)}.com`, 0, /neither/, /such as/],
    ...["<host>", "{host}.example.com", ":host", "^x$", "%", "$host", "~x.com", ".example.com"].map(
      (text) => [text, 0, /neither/, /`\*\.example\.com`/] as const,
    ),
    ["?.example.com", 0, /./, /such as/],
    ["example.*", 8, /\*/, /such as/],
    ["**.example.com", 0, /\*/, /such as/],
  ];
  for (const [text, offset, found, right] of cases) t.match(parseHostPattern(text), { offset, found, right }, text);
  t.end();
});
