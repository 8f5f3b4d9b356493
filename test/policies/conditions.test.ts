import { evaluate } from "@marcbachmann/cel-js";
import { RE2JS } from "re2js";
import { test } from "tap";
import { OWNED_HEADERS } from "../../haproxy/owned-headers.ts";
import { compileCondition, compileHeader, conjunctsOf, type ExpressionInput } from "../../policies/cel/conditions.ts";
import type { TextFault } from "../../policies/fault.ts";
import { isSettled } from "../../policies/pattern-states.ts";
import type { Principal } from "../../policies/principal.ts";
import type { PolicyRequest } from "../../policies/request.ts";

const LOGIN = Date.parse("2026-03-29T01:20:00Z");
const NOW = Date.parse("2026-03-29T01:30:00Z");

const REQUEST: PolicyRequest = {
  method: "GET",
  host: "orders.example.com",
  path: "/v1/orders/42",
  query: "a=b",
  src: "192.0.2.1",
  tls: true,
  headers: { "x-tenant": "emea" },
  time: NOW,
};
const CLAIMS = `{
  "tenant": "emea", "amr": ["pwd", "mfa"], "level": 3, "share": 0.5, "admin": true, "nothing": null, "empty": "",
  "org": { "unit": { "name": "sales" } }, "mixed": ["a", 1, null], "kelvin": "\\u212a", "acr": "pwd mfa"
}`;
const PRINCIPAL: Principal = {
  issuer: "okta",
  subject: "alice@example.com",
  kind: "person",
  groups: ["Orders Admins", "staff"],
  scopes: ["orders:read"],
  audiences: ["api://orders"],
  claims: JSON.parse(CLAIMS),
  client: "agents",
  actor: [
    { subject: "agent-7", issuer: undefined },
    { subject: "gateway", issuer: "https://sts.example.com" },
  ],
  arn: undefined,
  uri: undefined,
  authenticatedAt: LOGIN,
  expiresAt: NOW + 60_000,
  bound: "dpop",
};
const INPUT: ExpressionInput = {
  request: REQUEST,
  params: { id: "42" },
  principal: PRINCIPAL,
  roles: ["orders-admin"],
};

const SECRET = OWNED_HEADERS.credentials;

function compiled(text: string) {
  const condition = compileCondition(text, SECRET);
  if ("offset" in condition) throw new Error(`${text}: ${condition.found}; ${condition.right}`);
  return condition;
}

function withClaims(json: string): ExpressionInput {
  return { ...INPUT, principal: { ...PRINCIPAL, claims: JSON.parse(json) } };
}

/** What a condition comes to, `throws` standing for a deny because it cannot be told. */
function outcome(text: string, input: ExpressionInput = INPUT): boolean | "throws" {
  const condition = compiled(text);
  try {
    return condition.evaluate(input);
  } catch {
    return "throws";
  }
}

test("conditions read every field of the request and the principal", (t) => {
  const cases: readonly string[] = [
    'request.method == "GET" && request.host == "orders.example.com" && request.path == "/v1/orders/42"',
    'request.query == "a=b" && request.src == "192.0.2.1" && request.tls',
    'request.params.id == "42" && request.params["id"] != "0" && "id" in request.params && !has(request.params.no)',
    'request.headers["x-tenant"] == "emea" && "x-tenant" in request.headers && !has(request.headers.absent)',
    'request.time == timestamp("2026-03-29T01:30:00Z") && request.time < principal.expires_at',
    'principal.subject == "alice@example.com" && principal.issuer == "okta" && principal.kind == "person"',
    '"staff" in principal.groups && !("admins" in principal.groups) && principal.groups.size() == 2',
    'principal.roles == ["orders-admin"] && principal.scopes.exists(s, s == "orders:read")',
    'principal.bound == "dpop" && principal.bound != ""',
    'principal.actor[0].subject == "agent-7" && principal.actor[1].issuer.startsWith("https:")',
    'principal.actor.exists(a, has(a.issuer) && a.issuer == "https://sts.example.com")',
    'principal.client == "agents" && has(principal.client)',
    "has(principal.authenticated_at) && request.time - principal.authenticated_at < duration('15m')",
    'principal.claims.tenant == "emea" && "mfa" in principal.claims.amr && principal.claims.org.unit.name == "sales"',
    "principal.claims.admin",
    'request.path.matches("^/v1/orders/[0-9]+$") && request.path.split("/")[2] == "orders"',
    // 2026-03-29 01:30 UTC is after the change to summer time: it never is 02:30 in Berlin.
    'request.time.getHours("Europe/Berlin") == 3 && request.time.getHours() == 1',
    'request.time.getDayOfWeek("Europe/Berlin") == 0 && request.time.getMinutes("+05:45") == 15',
  ];
  for (const each of cases) t.equal(outcome(each), true, each);
  t.end();
});

test("numbers of claims compare with integers and with decimals", (t) => {
  const cases: readonly (readonly [string, boolean | "throws"])[] = [
    ["principal.claims.level >= 3", true],
    ["principal.claims.level == 3", true],
    ["3 == principal.claims.level", true],
    ["principal.claims.level == 3.0", true],
    ["principal.claims.level != 3", false],
    ["principal.claims.level > 3", false],
    ["principal.claims.level in [1, 2, 3]", true],
    ["principal.claims.level in [1.0, 2.5]", false],
    ["1 in principal.claims.mixed", true],
    ["2 in principal.claims.mixed", false],
    ["principal.claims.share < 1", true],
    ["principal.claims.share == 0", false],
    ["int(principal.claims.level) + 1 == 4", true],
    ['string(principal.claims.level) == "3"', true],
    ['principal.claims.level == "3"', false],
    ['principal.claims.level > "3"', "throws"],
  ];
  for (const [text, expected] of cases) t.equal(outcome(text), expected, text);
  t.end();
});

test("addresses and networks, by the names that Kubernetes gives them", (t) => {
  const cases: readonly (readonly [string, boolean | "throws"])[] = [
    ['cidr("192.0.2.0/24").containsIP(request.src)', true],
    ['cidr("192.0.2.0/24").containsIP(ip(request.src))', true],
    ['cidr("192.0.2.0/25").containsIP("192.0.2.128")', false],
    ['cidr("192.0.2.1/32").containsIP(request.src)', true],
    ['cidr("0.0.0.0/0").containsIP(request.src)', true],
    ['cidr("::/0").containsIP(request.src)', false],
    ['cidr("fd00::/8").containsIP("fdab::1")', true],
    ['cidr("fd00::/8").containsIP("fe80::1")', false],
    ['["10.0.0.0/8", "192.0.2.0/24"].exists(net, cidr(net).containsIP(request.src))', true],
    ['principal.claims.groups_of == "x" || cidr("192.0.2.0/24").containsIP(request.src)', true],
    // A mapped address is the IPv4 address that it maps.
    ['cidr("10.0.0.0/8").containsIP("::ffff:10.1.2.3")', true],
    ['cidr("10.0.0.0/8").containsIP("::ffff:0a01:0203")', true],
    ['cidr("::ffff:10.0.0.0/104").containsIP("10.1.2.3")', true],
    ['ip("::ffff:10.1.2.3") == ip("10.1.2.3")', true],
    ['ip("::ffff:10.1.2.3").family() == 4', true],
    ['ip("::1").family() == 6', true],
    ['ip("2001:db8:0:0:0:0:0:1") == ip("2001:DB8::1")', true],
    ['ip("10.0.0.1") != ip("10.0.0.2")', true],
    ['ip("10.0.0.1") in [ip("10.0.0.2"), ip("10.0.0.1")]', true],
    ['string(ip("2001:DB8:0::1")) == "2001:db8::1"', true],
    ['string(cidr("10.0.0.0/8")) == "10.0.0.0/8"', true],
    ['cidr("10.0.0.0/8") == cidr("10.0.0.0/9")', false],
    ['cidr("10.0.0.0/8").containsCIDR("10.1.0.0/16")', true],
    ['cidr("10.0.0.0/8").containsCIDR(cidr("10.0.0.0/7"))', false],
    ['cidr("10.0.0.0/8").prefixLength() == 8', true],
    ['cidr("10." + "1.2.3/9").masked() == cidr("10.0.0.0/9")', true],
    ['cidr("10." + "1.2.3/8").ip() == ip("10.1.2.3")', true],
    ['ip("127.0.0.1").isLoopback() && ip("::1").isLoopback()', true],
    ['ip("0.0.0.0").isUnspecified() && ip("::").isUnspecified()', true],
    ['ip("169.254.0.1").isLinkLocalUnicast() && ip("fe80::1").isLinkLocalUnicast()', true],
    ['ip("224.0.0.1").isLinkLocalMulticast() && !ip("224.0.1.1").isLinkLocalMulticast()', true],
    ['ip("10.0.0.1").isGlobalUnicast() && !ip("255.255.255.255").isGlobalUnicast()', true],
    ['isIP("10.0.0.1") && isCIDR("10.0.0.0/8")', true],
    // What is read differently elsewhere is no address: leading zeros, few parts, hexadecimal, zones, ports.
    ...["010.0.0.1", "10.1", "0xa.0.0.1", "167772161", "fe80::1%eth0", "[::1]", "10.0.0.1:80", " 10.0.0.1", ""].flatMap(
      (text): (readonly [string, boolean | "throws"])[] => [
        [`isIP(${JSON.stringify(text)})`, false],
        [`cidr("0.0.0.0/0").containsIP(${JSON.stringify(text)})`, "throws"],
      ],
    ),
    ...["10.0.0.0", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.0/", "fd00::/129", "::ffff:10.0.0.0/95"].map(
      (text) => [`isCIDR(${JSON.stringify(text)})`, false] as const,
    ),
    ["cidr(request.host).containsIP(request.src)", "throws"],
    ["ip(principal.claims.level).isLoopback()", "throws"],
  ];
  for (const [text, expected] of cases) t.equal(outcome(text), expected, text);
  const mapped = { ...INPUT, request: { ...REQUEST, src: "::ffff:192.0.2.9" } };
  t.equal(outcome('cidr("192.0.2.0/24").containsIP(request.src)', mapped), true, "a client by a socket for both");
  t.end();
});

test("what cannot be told is thrown, never true", (t) => {
  const cases: readonly (readonly [string, boolean | "throws"])[] = [
    ['principal.claims.missing == "x"', "throws"],
    ['principal.claims.missing != "x"', "throws"],
    ['!(principal.claims.missing == "x")', "throws"],
    ['principal.claims.org.missing.name == "x"', "throws"],
    ["has(principal.claims.missing)", false],
    ["has(principal.claims.org.missing.name)", "throws"],
    ['request.headers.absent == ""', "throws"],
    ["principal.claims.tenant", "throws"],
    ["principal.claims.nothing", "throws"],
    ["!principal.claims.tenant", "throws"],
    ["principal.claims.tenant ? true : request.tls", "throws"],
    ['"mfa" in principal.claims.acr', "throws"],
    ['principal.claims.amr.contains("mfa")', "throws"],
    ['principal.claims.level.matches("3")', "throws"],
    ["principal.claims.amr[2] == 'x'", "throws"],
    ["principal.claims.amr.all(x, x)", "throws"],
    ["principal.claims.amr.exists(x, x)", "throws"],
    ["principal.claims.amr.exists_one(x, x)", "throws"],
    ["principal.claims.amr.filter(x, x).size() == 0", "throws"],
    ["principal.claims.amr.map(x, x, x).size() == 0", "throws"],
    ["principal.claims.level.all(x, true)", "throws"],
    ["principal.claims.amr.exists(x, principal.claims.missing == x || x == 'mfa')", true],
    ["principal.claims.amr.all(x, principal.claims.missing == x && x == 'mfa')", false],
    ["principal.claims.amr.all(x, principal.claims.missing == x || x == 'mfa')", "throws"],
    // CEL's conversions, which the library has only nearly.
    ["int(principal.claims.empty) < 5", "throws"],
    ["int('0x10') == 16", "throws"],
    ["int(9007199254740991.0 * 2.0) > 5", "throws"],
    ["double(9007199254740993) > 5.0", "throws"],
    ["double('0x10') == 16.0", "throws"],
    ["timestamp('Tue Mar 01 2033 00:00:00') > request.time", "throws"],
    ["timestamp('2033-02-30T00:00:00Z') > request.time", "throws"],
    ["duration('h') < duration('1s')", "throws"],
    ['principal.claims.kelvin.lowerAscii() == "k"', false],
    // As in every CEL: what decides alone need not know the rest.
    ['principal.claims.missing == "x" || request.tls', true],
    ['request.tls || principal.claims.missing == "x"', true],
    ['principal.claims.missing == "x" && !request.tls', false],
  ];
  for (const [text, expected] of cases) t.equal(outcome(text), expected, text);
  t.end();
});

test("an anonymous request has no principal to read", (t) => {
  const anonymous = { ...INPUT, principal: undefined, roles: [] };
  for (const text of [
    'principal.subject == ""',
    'principal.subject != "mallory"',
    "has(principal.claims.tenant)",
    "!has(principal.claims.suspended)",
    "principal.groups.all(g, false)",
    "size(principal.roles) == 0",
  ]) {
    t.equal(outcome(text, anonymous), "throws", text);
  }
  t.equal(outcome("request.tls", anonymous), true);
  t.end();
});

test("no claim is there that the token does not hold, whatever JavaScript's objects inherit", (t) => {
  const names = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf", "prototype"];
  for (const name of names) {
    const held = withClaims(`{ "tenant": "emea", "deep": { "${name}": "x" }, "${name}": "x" }`);
    const deep = withClaims(`{ "deep": { "list": [{ "${name}": "x" }] } }`);
    t.equal(outcome(`principal.claims.deep.list[0].${name} == "x"`, deep), true, `${name} is read within a list`);
    t.equal(outcome(`has(principal.claims.${name})`), false, `${name} is absent`);
    t.equal(outcome(`"${name}" in principal.claims`), false, `${name} is not in the claims`);
    t.equal(outcome(`principal.claims.${name} == "x"`), "throws", `${name} cannot be read`);
    t.equal(outcome(`principal.claims["${name}"] != "x"`), "throws", `${name} cannot be read by index`);
    t.equal(outcome(`has(principal.claims.org.${name})`), false, `${name} is absent deeper`);
    t.equal(outcome(`principal.claims.${name} == "x"`, held), true, `${name} is read where the token holds it`);
    t.equal(outcome(`principal.claims.deep.${name} == "x"`, held), true, `${name} is read deeper`);
    t.equal(outcome('principal.claims.tenant == "emea"', held), true, `${name} does not hide other claims`);
  }
  t.end();
});

test("uses say what HAProxy must send and what a pattern must capture", (t) => {
  const nothing = { query: false, headers: [], params: [], claims: [], principal: false, request: true };
  const cases: readonly (readonly [string, object])[] = [
    ["request.tls", {}],
    ['request.query.contains("a")', { query: true }],
    ['request.headers["x-tenant"] == "a"', { headers: ["x-tenant"] }],
    ['request.headers.b == "" && has(request.headers.a) && "c-d" in request.headers', { headers: ["a", "b", "c-d"] }],
    ['[request.headers.a, request.headers["a"]].exists(h, h == "x")', { headers: ["a"] }],
    ['request.params.id == "a" || has(request.params.b) || "c" in request.params', { params: ["b", "c", "id"] }],
    ["has(principal.claims.tenant)", { claims: ["tenant"], principal: true, request: false }],
    [
      '"a" in principal.claims && principal.claims["b"] == principal.claims.c.d',
      { claims: ["a", "b", "c"], principal: true, request: false },
    ],
    ["principal.claims[request.method] == 1", { claims: ["*"], principal: true }],
    ["principal.claims.exists(c, c == principal.subject)", { claims: ["*"], principal: true, request: false }],
    ["true", { request: false }],
    ['{"a": request.query}["a"] == principal.subject', { query: true, principal: true }],
  ];
  for (const [text, uses] of cases) t.strictSame(compiled(text).uses, { ...nothing, ...uses }, text);
  const header = compileHeader('has(request.headers.a) ? dyn(request.headers["a"]) : null', SECRET);
  t.strictSame("uses" in header && header.uses, { ...nothing, headers: ["a"] });
  t.end();
});

/** An expression, where its fault is, what was found and what would be right. */
type FaultCase = readonly [text: string, at: string, found: RegExp, right: RegExp];

const FAULTS: readonly FaultCase[] = [
  ['principal.sub == "x"', 'sub == "x"', /no field `sub` of `principal`/, /`subject`/],
  ["has(principal.sub)", "sub)", /no field `sub`/, /`subject`/],
  ["!has(request.header)", "header)", /no field `header`/, /`headers`/],
  ["principal.actor.exists(a, has(a.isuer))", "isuer", /no field `isuer` of `actor`/, /`issuer`/],
  ['principal.actor[0].sub == "x"', 'sub == "x"', /no field `sub` of `actor`/, /`subject`/],
  ['principal.groups == "x"', 'principal.groups == "x"', /list<string> == string/, /`in` to look into one/],
  ["request.tls && principal.groups", "request.tls &&", /list<string>/, /comparison/],
  ["request.method", "request.method", /type string/, /true or false/],
  ["request.method == 'GET' ? 1 : 2", "request.method", /type int/, /true or false/],
  ["has(request.time.x)", "x)", /`x`/, /no fields/],
  ["has(request.path.x)", "x)", /`x`/, /no fields/],
  ["has(request.headers.a.b)", "b)", /`b`/, /no fields/],
  ["request.time.seconds == 1", "seconds", /`seconds`/, /no fields/],
  ['principal["subject"] == "x"', "principal[", /brackets/, /`\.name`/],
  ["user == 'x'", "user", /unknown variable: user/, /`request` or of `principal`/],
  ["request.path.startWith('/')", "startWith", /unknown function `startWith`/, /`startsWith`/],
  ["sizeof(principal.groups) > 1", "sizeof", /unknown function `sizeof`/, /size/],
  ["list(principal.groups) == 'a'", "list", /unknown function `list`/, /one of/],
  ["cel.bind(x, 1, x == 1)", "bind", /unknown function `bind`/, /one of/],
  ["request.path.join() == ''", "join", /unknown function `join`/, /one of/],
  ["request.path.size(1) == 1", "request.path", /no function for `string.size\(int\)`/, /arguments/],
  ["request.tls == true &&", "", /end of the expression/, /CEL expression/],
  ["(request.tls", "", /end of the expression/, /`\)`/],
  ["request.tls @ true", "@", /unexpected `@`/, /CEL expression/],
  ['request.path == "/v1', '"/v1', /unterminated string/, /closing quote/],
  ["request.headers[request.path] == 'a'", "path]", /only known for each request/, /written out/],
  ["request.path in request.headers", "path in", /only known for each request/, /written out/],
  ["request.params[request.path] == 'a'", "path]", /`request.params`/, /written out/],
  ["request.headers.all(h, h == 'a')", "headers.all", /as a whole/, /request.headers\["x-tenant"\]/],
  ["size(request.headers) == 0", "headers)", /as a whole/, /x-tenant/],
  ["has(request.headers)", "headers)", /as a whole/, /x-tenant/],
  ["request.headers == {}", "headers ==", /as a whole/, /x-tenant/],
  ["[request].exists(r, r.headers['cookie'] == '')", "request]", /`request` as a whole/, /request.path/],
  ["[1].exists(principal, principal == 1)", "principal,", /`principal` as a whole/, /principal.subject/],
  ["request['headers']['cookie'] == ''", "request[", /brackets/, /`\.name`/],
  ["request.headers.authorization == ''", "authorization", /holds a credential/, /`principal`/],
  ["'cookie' in request.headers", "'cookie'", /holds a credential/, /`principal`/],
  ["has(request.headers.cookie)", "cookie)", /holds a credential/, /`principal`/],
  ["request.headers['Cookie'] == ''", "'Cookie'", /header name "Cookie"/, /lower-case/],
  ["request.headers.x_tenant == ''", "x_tenant", /header name "x_tenant"/, /lower-case/],
  ["request.headers.constructor == ''", "constructor", /name constructor/, /another name/],
  ["request.time.getHours('Mars/Base') == 1", "'Mars/Base'", /no time zone "Mars\/Base"/, /Europe\/Berlin/],
  ["request.time.getHours(principal.claims.zone) == 1", "zone", /only known for each request/, /written out/],
  ["request.time + duration('1s') > request.time + 1", "request.time + 1", /timestamp \+ int/, /same type/],
  ["duration('1s') + duration('2s') > duration('0s')", "duration('1s') +", /duration on the left/, /timestamp/],
  ["{1: 'a'}[1] == 'a'", "1: ", /key that is not a string/, /written out/],
  ["{'a': 1, 'a': 2}['a'] == 1", "'a': 2", /twice/, /once/],
  ["'constructor' in {'constructor': true}", "'constructor': true", /constructor/, /another key/],
  ["b'a' == b'a'", "b'a'", /bytes/, /string/],
  ["1u == 1u", "1u", /unsigned/, /without the u/],
  ["9223372036854775808 > 1", "9223372036854775808", /the integer/, /at most/],
  ["1e21 > 1", "1e21", /has to be rounded/, /in digits/],
  ["1 < 9007199254740993.0", "9007199254740993.0", /has to be rounded/, /in digits/],
  ['cidr("10.0.0.0/33").containsIP(request.src)', '"10.0.0.0/33"', /no network/, /10\.0\.0\.0\/8/],
  [
    'cidr("10.0.0.7/8").containsIP(request.src)',
    '"10.0.0.7/8"',
    /bits behind its prefix/,
    /"10\.0\.0\.0\/8", or "10\.0\.0\.7\/32"/,
  ],
  ['ip("10.0.0.300") == ip(request.src)', '"10.0.0.300"', /no address/, /fd00::1/],
  ["cidr(principal.groups).containsIP(request.src)", "groups)", /list<string>, not string/, /type/],
  ["ip(request.src)", "ip(request.src)", /type net\.IP/, /true or false/],
  ['cidr("10.0.0.0/8").contains(request.src)', 'cidr("10.0.0.0/8").contains', /no function/, /arguments/],
  ['ip(request.src) == "10.0.0.1"', "ip(request.src) ==", /net\.IP == string/, /same type/],
  ["principal.claims.n.exists('a', true)", "'a'", /not a variable/, /plain name/],
];

test("a condition that cannot be right is refused at its place, with what would be", (t) => {
  for (const [text, at, found, right] of FAULTS) {
    const fault = compileCondition(text, SECRET) as TextFault;
    t.equal(fault.offset, at === "" ? text.length : text.indexOf(at), `${text}: the place`);
    t.match(fault.found, found, `${text}: what was found`);
    t.match(fault.right, right, `${text}: what would be right`);
  }
  t.end();
});

/** Runs something while nobody can make a regular expression of JavaScript's. */
function withoutRegExp<T>(run: () => T): T {
  const own = globalThis.RegExp;
  globalThis.RegExp = class {
    constructor(pattern: unknown) {
      throw new Error(`JavaScript's RegExp got ${pattern}`);
    }
  } as unknown as RegExpConstructor;
  try {
    return run();
  } finally {
    globalThis.RegExp = own;
  }
}

test("matches runs on RE2, however it is called", (t) => {
  const slow = withClaims(`{ "text": "${"a".repeat(40)}!", "list": ["${"a".repeat(40)}!"], "map": { "aa!": 1 } }`);
  const cases: readonly string[] = [
    'principal.claims.text.matches("^(a+)+$")',
    'matches(principal.claims.text, "^(a+)+$")',
    'dyn(principal.claims.text).matches("^(a+)+$")',
    'string(principal.claims.text).matches("^(a+)+$")',
    'principal.claims["text"].matches(r"^(a+)+$")',
    '("" + principal.claims.text).matches("^(a+)+$")',
    'principal.claims.list[0].matches("^(a+)+$")',
    '[principal.claims.text][0].matches("^(a+)+$")',
    '{"a": principal.claims.text}.a.matches("^(a+)+$")',
    '(request.tls ? principal.claims.text : "").matches("^(a+)+$")',
    'principal.claims.list.exists(x, x.matches("^(a+)+$"))',
    'principal.claims.list.exists(x, [x].exists(y, y.matches("^(a+)+$")))',
    'principal.claims.list.map(x, x.matches("^(a+)+$"))[0]',
    'principal.claims.list.filter(x, matches(x, "^(a+)+$")).size() > 0',
    'principal.claims.map.exists(key, key.matches("^(a+)+$"))',
    'has(principal.claims.text) && principal.claims.text.matches("^(a+)+$") || false',
  ];
  for (const text of cases) {
    t.equal(
      withoutRegExp(() => compiled(text).evaluate(slow)),
      false,
      text,
    );
  }
  t.throws(
    () => withoutRegExp(() => evaluate('"a".matches("a")')),
    /Invalid regular expression/,
    "the library's own would be seen",
  );
  t.end();
});

test("no text finds a state of a pattern that was not found when it was loaded", (t) => {
  const statesOf = (pattern: RE2JS) =>
    (pattern.re2() as unknown as { readonly lazyDFA: { readonly stateCount: number } | null }).lazyDFA?.stateCount ?? 0;
  const patterns = [
    "^(a+)+$",
    "b[0-9]+$",
    "a.{3}b",
    "(a|ab|b)*c",
    "[^/]+/[^/]+$",
    "\\bab?\\b",
    "(?i)[a-c]{2,5}\\d",
    "é|\\p{Lu}",
  ];
  let found = 0;
  for (const text of patterns) {
    for (const use of ["search", "whole"] as const) {
      const pattern = RE2JS.compile(text);
      t.equal(isSettled(pattern, use), true, `${text}, ${use}`);
      const states = statesOf(pattern);
      for (let i = 0; i < 3000; i++) {
        const letters = [0, 3, 7, 11, 13].map((step) => "ab/cA1 é\n\u{1f600}"[(i * 31 + step * i + (i >> 3)) % 11]);
        const sample = letters.join("").repeat(1 + (i % 5));
        if (use === "search") pattern.test(sample);
        else pattern.testExact(sample);
      }
      t.equal(statesOf(pattern), states, `${text}, ${use}: no more`);
      found += states;
    }
  }
  t.ok(found > 100, `${found} states`);
  t.end();
});

test("a pattern is a literal that RE2 takes", (t) => {
  const cases: readonly FaultCase[] = [
    ["request.path.matches(principal.subject)", "subject)", /only known for each request/, /written out/],
    ['request.path.matches("^" + request.host)', '"^"', /only known for each request/, /written out/],
    ["principal.groups.exists(g, request.path.matches(g))", "g))", /only known for each request/, /written out/],
    ["matches(request.path, request.path)", "path)", /only known for each request/, /written out/],
    ["principal.claims.a.matches(dyn('a'))", "dyn(", /only known for each request/, /written out/],
    ["request.path.matches(1)", "1)", /only known for each request/, /written out/],
    ["request.path.matches('(')", "'('", /missing closing/, /RE2/],
    ["request.path.matches('(?=a)')", "'(?=a)'", /not a pattern of RE2/, /RE2/],
    [String.raw`request.path.matches(r'(a)\1')`, "r'(a)", /not a pattern of RE2/, /RE2/],
    ["request.path.matches('(a{1,90}){1,90}')", "'(a{1,90})", /./, /./],
    ["request.path.matches('(ab){900}')", "'(ab){900}'", /take long/, /smaller/],
    ["request.path.matches('[ab]*a[ab]{30}$')", "'[ab]*", /take long/, /smaller/],
    ["request.path.matches('^(?:.{0,9}a){40}$')", "'^(?", /take long/, /`\^` in front/],
    ["principal.groups.matches('a')", "groups", /list<string>/, /types/],
  ];
  for (const [text, at, found, right] of cases) {
    const fault = compileCondition(text, SECRET) as TextFault;
    t.equal(fault.offset, text.lastIndexOf(at), `${text}: the place`);
    t.match(fault.found, found, `${text}: what was found`);
    t.match(fault.right, right, `${text}: what would be right`);
  }
  t.end();
});

test("what a token or request holds cannot make an evaluation long", (t) => {
  const list = (length: number) => JSON.stringify(Array.from({ length }, (_, i) => `g${i}`));
  const large = withClaims(`{ "a": ${list(200)}, "b": ${list(200)}, "long": ${list(9000)}, "huge": ${list(20_000)} }`);
  const path = { ...INPUT, request: { ...REQUEST, path: `/${"a/".repeat(300)}` } };
  const text = { ...INPUT, request: { ...REQUEST, path: "a".repeat(60_000) } };
  const cases: readonly (readonly [string, ExpressionInput, boolean | "throws"])[] = [
    ["principal.claims.a.all(x, x in principal.claims.b)", large, true],
    ["principal.claims.long.all(x, x != '')", large, true],
    ["principal.claims.huge.all(x, x != '')", large, "throws"],
    ["principal.claims.huge.exists(x, x == '')", large, "throws"],
    ["principal.claims.huge.exists(x, x == 'g1')", large, true],
    ["principal.claims.huge.filter(x, true).size() > 0", large, "throws"],
    ["principal.claims.huge.map(x, x).size() > 0", large, "throws"],
    ["principal.claims.huge.map(x, false, x).size() == 0", large, "throws"],
    ["principal.claims.huge.exists_one(x, x == 'g1')", large, "throws"],
    ["principal.claims.a.all(x, principal.claims.b.all(y, x != y + 'z'))", large, "throws"],
    ["principal.claims.a.exists(x, principal.claims.b.exists(y, x == y + 'z')) == false", large, "throws"],
    ["principal.claims.long.all(x, x != '') && principal.claims.long.all(x, x != '')", large, "throws"],
    [`[request.path]${".map(x, x + x)".repeat(14)}.size() == 1`, INPUT, true],
    [`[request.path]${".map(x, x + x)".repeat(20)}.size() == 1`, INPUT, "throws"],
    [`[principal.groups]${".map(x, x + x)".repeat(20)}.size() == 1`, INPUT, "throws"],
    ["request.path.split('/').size() > 0", path, "throws"],
    ["request.path.matches('b')", text, "throws"],
    ["request.path.matches('b')", INPUT, false],
  ];
  for (const [condition, input, expected] of cases) t.equal(outcome(condition, input), expected, condition);
  t.end();
});

/** Claims that count how often something in them is read. */
function counting(claims: object, reads: { count: number }): object {
  return new Proxy(claims, {
    get(target, name, receiver) {
      reads.count++;
      const value: unknown = Reflect.get(target, name, receiver);
      return typeof value === "object" && value !== null ? counting(value, reads) : value;
    },
    ownKeys(target) {
      const keys = Reflect.ownKeys(target);
      reads.count += keys.length;
      return keys;
    },
  });
}

const names = (length: number, prefix: string) => Array.from({ length }, (_, i) => `${prefix}${1000 + i}`);
const table = (length: number) => Object.fromEntries(names(length, "k").map((name, i) => [name, i]));
/** What fits into a token of 64 KiB, and then some. */
const HOSTILE = {
  groups: names(300, "g"),
  blocked: names(300, "b"),
  lists: Array.from({ length: 60 }, () => names(60, "g")),
  other: Array.from({ length: 60 }, () => [...names(59, "g"), "z"]),
  deep: Array.from({ length: 300 }, () => [[[[[[[[["a"]]]]]]]]]),
  maps: Array.from({ length: 60 }, () => table(60)),
  map: table(2000),
  same: table(2000),
  many: names(5000, "g"),
  long: "a".repeat(30_000),
  near: `${"a".repeat(500)}b${"a".repeat(499)}`,
};
const AT = "principal.claims";
/** Within two macros and within one: whatever an expression can do with something large, done again and again. */
const REPEATED: readonly string[] = [
  `${AT}.lists == ${AT}.other`,
  `${AT}.lists != ${AT}.other`,
  `${AT}.lists[0] in ${AT}.other`,
  `${AT}.maps == ${AT}.maps`,
  `${AT}.map == ${AT}.same`,
  `${AT}.map.size() > 0`,
  `size(${AT}.map) > 0`,
  `size(${AT}.long) > 0`,
  `size(${AT}.maps) > 0 && size(${AT}.map) > 0`,
  `(${AT}.many + ${AT}.many).size() > 0`,
  `${AT}.map.exists(k, false)`,
  `x in ${AT}.many`,
  `[x] in ${AT}.deep`,
  `${AT}.long.contains(${AT}.near)`,
  `${AT}.long.contains("aaab")`,
  `${AT}.long.split("aaab").size() > 0`,
  `${AT}.long.upperAscii() != ""`,
  `${AT}.long.matches("b[0-9]$")`,
  `${AT}.long + x < ${AT}.long`,
  `(${AT}.long + x).startsWith(${AT}.long)`,
  `(${AT}.long + x) in ${AT}.map`,
  `has(${AT}.map) && ${AT}.map[${AT}.long + x] == 1`,
  `${AT}.missing == x || ${AT}.missing == x`,
  `(${AT}.map ? true : false)`,
  `!${AT}.map || -${AT}.map == 1 || ${AT}.map < 1 || ${AT}.map + 1 == 1 || ${AT}.map * 2 == 1`,
  `${AT}.map.contains("a") || string(${AT}.map) == "" || int(${AT}.maps) == 1 || type(${AT}.maps) == string`,
  'request.time.getHours("Europe/Berlin") < 25',
  'string(request.time - timestamp("2026-03-29T01:30:00.123Z")) != ""',
  'timestamp("2026-03-29T01:30:00Z") < request.time || duration("1h30m") < duration("1h")',
];

test("whatever an expression does with whatever a token holds, it does so often and no more", (t) => {
  const expressions = [
    ...REPEATED.flatMap((body) => [
      `${AT}.many.all(x, ${body} || true)`,
      `${AT}.many.filter(x, ${body} || true).map(x, [x]).size() > 0 || true`,
      ...(body.includes(".exists(") ? [] : [`${AT}.groups.all(y, ${AT}.groups.all(x, ${body} || true))`]),
    ]),
    `${AT}.groups.all(g, !(g in ${AT}.blocked)) && ${AT}.groups.all(g, !(g in ${AT}.blocked))`,
    `${AT}.lists.all(a, ${AT}.other.all(b, a != b)) || true`,
    `[[1]]${".map(x, [x, x])".repeat(20)} == [[1]]${".map(x, [x, x])".repeat(20)} || true`,
    `[[${AT}.groups]]${".map(x, x + x)".repeat(12)} == [[${AT}.groups]]${".map(x, x + x)".repeat(12)} || true`,
    `${AT}.map.all(a, ${AT}.same.all(b, a != b + "z")) || true`,
  ];
  let most = 0;
  for (const text of expressions) {
    const reads = { count: 0 };
    const claims = counting(HOSTILE, reads) as Principal["claims"];
    const result = outcome(text, { ...INPUT, principal: { ...PRINCIPAL, claims } });
    most = Math.max(most, reads.count);
    if (reads.count > 300_000) t.fail(`${text}: ${reads.count} reads`);
    // None of them can be done in time, and none is let through because something true stands beside it.
    if (result !== "throws") t.fail(`${text}: ${result}`);
  }
  t.ok(most > 10_000, `${most} reads at most`);
  t.end();
});

test("an expression that can never be worked out in time is a fault", (t) => {
  const list = `[${Array.from({ length: 200 }, (_, i) => i).join()}]`;
  const cases = [
    `${list}.map(a, ${list}.filter(b, b > a)).size() > 0`,
    `${list}.filter(a, ${list}.exists_one(b, b == a)).size() == 200 && request.tls`,
    `request.tls ? ${list}.map(a, ${list}.map(b, b)).size() > 0 : ${list}.map(a, ${list}.map(b, a)).size() > 0`,
  ];
  for (const text of cases) {
    const fault = compileCondition(text, SECRET) as TextFault;
    t.match(fault, { offset: 0, found: /takes \d+ units of work for every request, of 100000/ }, text.slice(0, 40));
  }
  for (const text of [
    `request.tls || ${cases[0]}`,
    `${list}.exists(a, ${list}.exists(b, b == a))`,
    `${list}.map(a, a).size() > 0`,
  ])
    t.ok("evaluate" in compileCondition(text, SECRET), text.slice(0, 40));
  t.end();
});

test("an expression is bounded when it loads", (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [`request.tls${" ".repeat(4090)}`, /characters/],
    [`1${"-1".repeat(600)} == 1`, /maxAstNodes/],
    [`${"(".repeat(60)}true${")".repeat(60)}`, /maxDepth/],
    [`1 in [${"1,".repeat(300)}]`, /maxListElements/],
    ["[1].all(a, [1].all(b, [1].all(c, true)))", /2 deep/],
    ["[1].all(a, [1].map(b, [1].filter(c, true)).size() > 0)", /2 deep/],
    [`${"!".repeat(3000)}true`, /maxAstNodes/],
  ];
  for (const [text, found] of cases) {
    t.match((compileCondition(text, SECRET) as TextFault).found, found, text.slice(0, 40));
  }
  t.ok(
    "evaluate" in compileCondition("[1].map(a, [a].map(b, b)).exists(a, [a].exists(b, true))", SECRET),
    "two deep, twice",
  );
  t.end();
});

test("the parts that && joins are all there, however they are put in parentheses", (t) => {
  for (const [text, ...parts] of [
    ["request.tls"],
    ["!(request.tls)"],
    ["(request.tls) == (request.tls)"],
    ["request.tls ? (false) : (true)"],
    ['request.tls && !(request.path == "/")', "request.tls", '!(request.path == "/")'],
    ["(request.tls) && ((request.tls) || (false))", "request.tls", "request.tls || false"],
    ["(1 / 1 == 1) == (principal.claims.nothing == null)"],
    [
      '(request.path == \')\' || (true)) && (request.path != "(\\")")',
      "request.path == ')' || (true)",
      'request.path != "(\\")"',
    ],
    ["request.tls && (request.tls && !(false))", "request.tls", "request.tls", "!false"],
  ] as const) {
    const found = conjunctsOf(compiled(text));
    t.equal(found.length, Math.max(1, parts.length), text);
    const all = found.every((part) => part.evaluate(INPUT));
    t.equal(all, compiled(text).evaluate(INPUT), text);
  }
  t.end();
});

test("evaluations do not see each other's values", (t) => {
  const condition = compiled('principal.claims.list.exists(x, principal.claims.list.all(y, y == x && x == "a"))');
  t.equal(condition.evaluate(withClaims('{ "list": ["a", "a"] }')), true);
  t.throws(() => condition.evaluate({ ...INPUT, principal: undefined }));
  t.equal(condition.evaluate(withClaims('{ "list": ["b"] }')), false);
  t.equal(condition.evaluate(withClaims('{ "list": ["a"] }')), true);
  t.end();
});

test("headers are strings, or absent", (t) => {
  const cases: readonly (readonly [string, string | undefined | "throws"])[] = [
    ["principal.subject", "alice@example.com"],
    ["list(principal.groups)", "Orders Admins,staff"],
    ["list(principal.roles)", "orders-admin"],
    ["list(principal.claims.amr)", "pwd,mfa"],
    ["list([])", ""],
    ["list(principal.groups.filter(g, g.startsWith('Orders')))", "Orders Admins"],
    ["principal.claims.tenant", "emea"],
    ["string(principal.claims.level)", "3"],
    ["string(request.time)", "2026-03-29T01:30:00Z"],
    ["null", undefined],
    ["principal.claims.nothing", undefined],
    ["has(principal.claims.missing) ? principal.claims.missing : null", undefined],
    ["principal.claims.missing", "throws"],
    ["principal.claims.level", "throws"],
    ["principal.claims.admin", "throws"],
    ["principal.claims.amr", "throws"],
    ["list(principal.claims.tenant)", "throws"],
    ["list(principal.claims.mixed)", "throws"],
    ["list(['a,b'])", "throws"],
    ["list(principal.groups, ';')", "Orders Admins;staff"],
    ["list(principal.groups, ', ')", "Orders Admins, staff"],
    ["list(principal.claims.amr, ' ')", "pwd mfa"],
    ["list(['a,b'], ' | ')", "a,b"],
    ["list(principal.groups, ' ')", "throws"],
    ["list(['a;b'], '; ')", "throws"],
    ["list(principal.claims.tenant, ';')", "throws"],
    ["json(principal.subject)", '"alice@example.com"'],
    ["json(principal.groups)", '["Orders Admins","staff"]'],
    ["json({'sub': dyn(principal.subject), 'level': principal.claims.level})", '{"sub":"alice@example.com","level":3}'],
    ["json([dyn(null), dyn(true), dyn(9007199254740993), dyn(0.5)])", "[null,true,9007199254740993,0.5]"],
    ["json(principal.claims.mixed)", '["a",1,null]'],
    ["json(principal.claims.org)", '{"unit":{"name":"sales"}}'],
    ["json('\"\\\\\\n\\u00fc\\U0001F600')", '"\\"\\\\\\n\\u00fc\\ud83d\\ude00"'],
    ["json(principal.claims.missing)", "throws"],
    ["json([dyn(request.time)])", "throws"],
    ["base64('Zo\u00eb')", "Wm/Dqw=="],
    ["base64(json(principal.groups))", "WyJPcmRlcnMgQWRtaW5zIiwic3RhZmYiXQ=="],
    ["percent('Zo\u00eb O\\'Hara/50%~')", "Zo%C3%AB%20O%27Hara%2F50%25~"],
    ["percent(principal.claims.level)", "throws"],
    ["base64(principal.claims.amr)", "throws"],
  ];
  for (const [text, expected] of cases) {
    const header = compileHeader(text, SECRET);
    if ("offset" in header) throw new Error(`${text}: ${header.found}`);
    if (expected === "throws") t.throws(() => header.evaluate(INPUT), text);
    else t.equal(header.evaluate(INPUT), expected, text);
  }
  for (const text of ["request.tls", "principal.groups", "1", "request.time"]) {
    const fault = compileHeader(text, SECRET) as TextFault;
    t.equal(fault.offset, 0, `${text}: the place`);
    t.match(fault.right, /a string, or null/, `${text}: what would be right`);
  }
  t.end();
});

test("what makes a header's value is held to what can be read again", (t) => {
  for (const [text, at, found, right] of [
    ["list(principal.groups, '')", "''", /the separator ""/, /one mark/],
    ["list(principal.groups, '--')", "'--'", /the separator "--"/, /one mark/],
    ["list(principal.groups, 'and')", "'and'", /the separator "and"/, /one mark/],
    ["list(principal.groups, '\\n')", "'\\n'", /the separator "\\n"/, /one mark/],
    ["list(principal.groups, request.path)", "path", /only known for each request/, /written out/],
    ["list(principal.groups, 1)", "1", /only known for each request/, /written out/],
    ["json(principal)", "principal", /`principal` as a whole/, /one of its fields/],
    ["json(request.headers)", "headers", /as a whole/, /request.headers\["x-tenant"\]/],
    ["json(request.time)", "json", /no function for `json\(timestamp\)`/, /arguments/],
    ["percent(principal.groups)", "percent", /no function for `percent\(list<string>\)`/, /arguments/],
    ["bas64(principal.subject)", "bas64", /unknown function `bas64`/, /`base64`/],
  ] as const) {
    const fault = compileHeader(text, SECRET) as TextFault;
    t.equal(fault.offset, text.lastIndexOf(at), `${text}: the place`);
    t.match(fault.found, found, `${text}: what was found`);
    t.match(fault.right, right, `${text}: what would be right`);
  }
  for (const name of ["json", "base64", "percent"]) {
    t.match(compileCondition(`${name}("a") == "a"`, SECRET), { found: `unknown function \`${name}\`` });
  }
  t.end();
});

test("no value of a header takes long to make, however large or strange its claims are", (t) => {
  const large = {
    deep: JSON.parse(`${"[".repeat(40)}${"]".repeat(40)}`),
    many: Array.from({ length: 60_000 }, () => 1),
    keys: table(30_000),
    long: "\u00fc".repeat(30_000),
    lone: "\ud800",
    rounded: 1e21,
  };
  const value = (text: string, claims: object = large) => {
    const header = compileHeader(text, SECRET);
    if ("offset" in header) throw new Error(`${text}: ${header.found}`);
    return header.evaluate({ ...INPUT, principal: { ...PRINCIPAL, claims: claims as Principal["claims"] } });
  };
  for (const claim of ["deep", "many", "keys", "long", "lone", "rounded"])
    t.throws(() => value(`json(${AT}.${claim})`), claim);
  for (const text of [`percent(${AT}.long)`, `percent(${AT}.lone)`, `base64(${AT}.lone)`])
    t.throws(() => value(text), text);
  t.throws(() => value(`list(${AT}.keys.map(k, base64(${AT}.long)), ";")`), "again and again");
  t.equal(
    value(`json(${AT}.a)`, { a: { constructor: { a: 1 } } }),
    '{"constructor":{"a":1}}',
    "a map by whatever name",
  );
  t.end();
});
