import { test } from "tap";
import type { PolicyEnvironment } from "../../policies/compile/compile.ts";
import type { PolicyIssuer } from "../../policies/judging/binding.ts";
import { ENVIRONMENT, findingsOf } from "../support/policies.ts";

/** A service that is fine but for its routes; the routes begin in line 7, or one line lower for each line of roles. */
const service = (routes: string, roles = "") => `${roles}services:
  s:
    hosts: [s.example.com]
    audiences: [api://orders]
    issuers: [okta]
    backend: s
${routes}`;
const route = (text: string, roles = "") => service(`    routes:\n      - ${text}\n`, roles);
const READER = "roles: { reader: [{ issuer: okta }] }\n";
const ONE = "allow: [authenticated], routes: [{ name: r, match: [GET /] }]";
const NOT_FOR_ANYONE =
  "the credential is not read there: remove it, or allow roles or `authenticated`, with `optional: true` if need be";

const ARN = "the ARN of a role or user, such as arn:aws:iam::123456789012:role/reporting";

type Row = readonly [name: string, policy: string, faults: readonly string[]];

/** Origins that no browser sends so, and what would be right. */
const ORIGINS: readonly (readonly [origin: string, right: string])[] = [
  ["https://app.example.com/", '"https://app.example.com": an origin has no path, nor a slash at its end'],
  ["https://app.example.com/a?b", '"https://app.example.com": an origin has no path, nor a slash at its end'],
  ["https://*.example.com", "each origin by itself: a wildcard takes pages of hosts that nobody has thought of"],
  ["https://App.example.com", '"https://app.example.com": browsers send it in lower case'],
  ["https://app.example.com:443", '"https://app.example.com": browsers leave out the scheme\'s own port'],
  ["http://[::1]:80", '"http://[::1]": browsers leave out the scheme\'s own port'],
  ["null", "the origin of a page that has one: pages of many sorts say `null`, an attacker's too"],
  ...["app.example.com", "https://", "https://a b", "https://user@a", "https://a:b", "https://é.example"].map(
    (origin) =>
      [origin, "scheme, host and, where it is not the scheme's own, port, such as https://app.example.com"] as const,
  ),
];
const cors = (text: string) =>
  `services: { s: { cors: ${text}, hosts: [h.example], issuers: [aws], backend: b, ${ONE} } }`;

const FAULTS: readonly Row[] = [
  ...ORIGINS.map(
    ([origin, right]): Row => [
      `an origin that is none: ${origin}`,
      cors(`{ origins: ["${origin}"] }`),
      [`1:36: "${origin}" for an origin; ${right}`],
    ],
  ),
  [
    "pages of all origins, with what browsers add",
    cors('{ origins: ["*"], credentials: true }'),
    [
      '1:35: `"*"` with `credentials: true`; the origins themselves: a page of any origin could act for whoever is logged in',
    ],
  ],
  [
    "all origins, and some",
    cors('{ origins: ["*", "https://a.example"] }'),
    ['1:35: `"*"` beside other origins; it alone, or the others alone'],
  ],
  [
    "more than a day",
    cors('{ origins: ["*"], max_age: 25h }'),
    ['1:51: "25h"; at most 24h: browsers keep it no longer'],
  ],
  [
    "more names than an answer has room for",
    cors(
      `{ origins: ["*"], expose: [${"a".repeat(64)}${Array.from({ length: 8 }, (_, n) => `, ${"b".repeat(63)}${n}`).join("")}] }`,
    ),
    ["1:50: names of 592 characters; at most 512 together"],
  ],
  [
    "preflights that the backend would get, and HAProxy answers",
    cors('{ origins: ["*"] }, preflight: allow'),
    ["1:44: `preflight` beside `cors`; leave it out: where `cors` is, HAProxy answers preflights itself"],
  ],
  [
    "two services of one host that say two things of pages",
    `services:
  a: { hosts: [h.example], issuers: [aws], backend: b, cors: { origins: [https://a.example] }, ${ONE} }
  b: { hosts: [h.example], issuers: [aws], backend: b, allow: [authenticated], routes: [{ name: r, match: [GET /b] }] }
`,
    [
      '3:16: "h.example" with another `cors` than the service "a" has there; the same in both, letter by letter: HAProxy answers preflights by the host alone',
    ],
  ],
  ["not a mapping", "- 1", ["1:1: a list; a mapping of `roles` and `services`"]],
  ["a tab", "roles:\n\ta: 1", ["2:1: a tab as indentation; blanks: YAML knows no tabs there"]],
  ["an unknown key", "role: {}", ['1:1: unknown key "role"; did you mean "roles"? Known keys: roles, services']],
  [
    "an unknown key in a route",
    route("{ name: r, match: [GET /], alow: [authenticated] }"),
    [
      '8:36: unknown key "alow"; did you mean "allow"? Known keys: name, match, backend, allow, deny, scopes, when, step_up, optional, resource, headers, forward_credential, upstream_token, mcp, shadow',
    ],
  ],
  [
    "a service without anything",
    "services: { s: {} }",
    [
      '1:13: no "hosts" here; a list of host names, such as `[orders.example.com]`',
      '1:13: no "routes" here; a list of routes',
    ],
  ],
  ...[
    "x",
    "spiffe://example.org",
    "spiffe://example.org/",
    "spiffe://Example.org/a",
    "spiffe://example.org/a/",
    "spiffe://example.org/*",
    "spiffe://example.org/ns/../a",
    "https://example.org/a",
  ].map(
    (uri): Row => [
      `a SPIFFE id that is nobody's: ${uri}`,
      `roles: { a: [{ issuer: aws, uri: "${uri}" }] }`,
      [
        `1:34: "${uri}"; a SPIFFE id such as spiffe://example.org/ns/shop/sa/web; or \`{ prefix: spiffe://example.org/ns/shop/ }\``,
      ],
    ],
  ),
  ...[
    "spiffe://example.org",
    "spiffe://example.org/ns/shop",
    "spiffe://",
    "spiffe:///",
    "/ns/shop/",
    "spiffe://*/",
  ].map(
    (prefix): Row => [
      `what more than one trust domain or workload begins with: ${prefix}`,
      `roles: { a: [{ issuer: aws, uri: { prefix: "${prefix}" } }] }`,
      [`1:44: "${prefix}"; a trust domain, and a path that ends in \`/\`, such as spiffe://example.org/ns/shop/`],
    ],
  ),
  [
    "a SPIFFE id that no issuer proves",
    service(
      "    routes:\n      - { name: r, match: [GET /], allow: [workload] }\n",
      "roles: { workload: [{ uri: spiffe://example.org/a }] }\n",
    ),
    [
      '9:44: no principal of this service can have the role "workload": its bindings are for other issuers, kinds or accounts; a role with a binding for "okta", or more `issuers` at the service',
    ],
  ],
  ...[
    ["x", '"x"', ARN],
    ["'arn:aws:iam::*:role/reporting'", '"arn:aws:iam::*:role/reporting"', ARN],
    ["'arn:aws:iam::123456789012:role/*'", '"arn:aws:iam::123456789012:role/*"', ARN],
    ["arn:aws:iam::123456789012:root", '"arn:aws:iam::123456789012:root"', ARN],
    ["arn:aws:iam::12345678901:role/a", '"arn:aws:iam::12345678901:role/a"', ARN],
    ["arn:aws:iam::123456789012:role/", '"arn:aws:iam::123456789012:role/"', ARN],
    [
      "arn:aws:sts::123456789012:assumed-role/reporting/i-1",
      "the ARN of a session",
      "the role, `arn:aws:iam::123456789012:role/reporting`: who takes it chooses the session's name",
    ],
  ].map(
    ([arn, found, right]): Row => [
      `an ARN that is nobody's: ${arn}`,
      `roles: { a: [{ issuer: aws, arn: ${arn} }] }`,
      [`1:34: ${found}; ${right}`],
    ],
  ),
  [
    "an account that is a number, or none, and a permission set that is a pattern",
    "roles: { a: [{ account: 123456789012 }, { account: '12' }, { permission_set: 'Power*' }] }",
    [
      "1:25: the number 123456789012; the 12 digits of an AWS account, in quotes",
      '1:52: the text "12"; the 12 digits of an AWS account, in quotes',
      '1:78: the text "Power*"; the name of a permission set of AWS IAM Identity Center, letter by letter',
    ],
  ],
  [
    "a role by what its bearer chose",
    "roles: { a: [{ issuer: aws, claim: { session_name: alice } }, { claim: [{ path: [session_name], value: a }] }], b: [{ issuer: okta, claim: { session_name: alice } }] }",
    [52, 73].map(
      (column) =>
        `1:${column}: the claim "session_name", which whoever asks has chosen; what is proven: \`arn\`, \`account\` or another key`,
    ),
  ],
  [
    "ARNs that no principal of the issuer, or of any, can have",
    service(
      "    routes:\n      - { name: r, match: [GET /], allow: [abroad, elsewhere, none] }\n",
      "roles: { abroad: [{ arn: 'arn:aws-cn:iam::123456789012:role/a' }], elsewhere: [{ issuer: aws, account: '000000000000' }], none: [{ issuer: okta, permission_set: Admin }] }\n",
    ).replace("[okta]", "[okta, aws]"),
    ["abroad", "elsewhere", "none"].map(
      (name, i) =>
        `9:${[44, 52, 63][i]}: no principal of this service can have the role "${name}": its bindings are for other issuers, kinds or accounts; a role with a binding for "okta", "aws", or more \`issuers\` at the service`,
    ),
  ],
  [
    "an actor that is told by what tells nobody",
    'roles: { a: [{ issuer: okta, actor: { subject: "bot*", issuer: okta, prefix: x } }], b: [{ issuer: okta, actor: { equals: a, prefix: b } }] }',
    [
      `1:52: \`*\`, which has no meaning in a name; \`{ prefix: ext- }\` or \`{ suffix: "@example.com" }\`; \`{ equals: "bot*" }\` if it is really called so`,
      "1:64: \"okta\", which is no URL; the `iss` that the token gives the actor, such as https://id.example.com: the configuration's issuers vouch for principals, and who acts is told by the principal's",
      "1:78: `prefix` beside `subject`, `issuer` or `kind`; `subject: { prefix: TEXT }` in its place",
      "1:123: `equals` beside another key; `equals` alone, or `prefix` and `suffix`",
    ],
  ],
  [
    "methods that MCP's transport does not have",
    'services: { a: { issuers: [aws], hosts: [h.example], backend: b, allow: [authenticated], routes: [{ name: r, match: ["* /mcp", "POST|PUT /b"], mcp: { tools: { a: {} } } }] } }',
    ["1:118: `* /mcp`", "1:128: `POST|PUT /b`"].map(
      (found) =>
        `${found}, on a route with \`mcp\`; POST, and where the server has them GET and DELETE: nothing else is looked into`,
    ),
  ],
  [
    "what a tool asks of nobody",
    "services: { a: { issuers: [aws], hosts: [h.example], backend: b, allow: [anyone], routes: [{ name: r, match: [POST /mcp], mcp: { tools: { a: { scopes: [x] }, b: {} } } }] } }",
    [
      "1:142: what a tool asks of who calls it, on a route that allows `anyone`; no more than the name, or a route that allows roles or `authenticated`: no credential is read here",
    ],
  ],
  ...Object.entries({
    ...{ "get_?": "?", "^get": "^", get$: "$", "<x>": "<x>", "{x}": "{x}" },
    ...{ ":x": ":", "/get/": "/", "a%b": "%", "get.+": ".+" },
  }).map(
    ([name, sign]): Row => [
      `a tool that is called as other tools write patterns: ${name}`,
      `services: { a: { issuers: [aws], hosts: [h.example], backend: b, allow: [authenticated], routes: [{ name: r, match: [POST /mcp], mcp: { tools: { "${name}": {}, "*": {} } } }] } }`,
      [
        `1:146: \`${sign}\`, which has no meaning in a name; the whole name of one tool; \`{ equals: "${name}" }\` beside what it asks, if it is really called so`,
      ],
    ],
  ),
  [
    "a tool that is really called so, and is not",
    'services: { a: { issuers: [aws], hosts: [h.example], backend: b, allow: [authenticated], routes: [{ name: r, match: [POST /mcp], mcp: { tools: { "a?": { equals: "a?" }, "b?": { equals: b }, c: { equals: d } } } }] } }',
    [
      '1:170: `?`, which has no meaning in a name; the whole name of one tool; `{ equals: "b?" }` beside what it asks, if it is really called so',
      '1:204: `equals` with another name than the tool\'s; no `equals`, or `{ equals: "c" }`',
    ],
  ],
  [
    "an actor's issuer that no token names",
    'roles: { a: [{ issuer: okta, actor: { issuer: "https://*.example.com" } }], b: [{ issuer: okta, actor: { issuer: "https://id.example.com/{tenant}" } }] }',
    ["https://*.example.com", "https://id.example.com/{tenant}"].map(
      (name, index) =>
        `1:${[47, 114][index]}: "${name}", which no token has; the actor's whole \`iss\`, as tokens have it: another binding for each that differs in this`,
    ),
  ],
  [
    "odd names of methods and tools",
    'services: { a: { issuers: [aws], hosts: [h.example], backend: b, allow: [authenticated], routes: [{ name: r, match: [POST /mcp], mcp: { methods: ["tools*", "a b"], tools: { "a b": {}, a*: {}, "*b": {} } } }] } }',
    [
      '1:147: the text "tools*"; a JSON-RPC method such as `tools/call`, or `notifications/*` for all that begin so',
      '1:157: the text "a b"; a JSON-RPC method such as `tools/call`, or `notifications/*` for all that begin so',
      ...['174: the key "a b"', '185: the key "a*"', '193: the key "*b"'].map(
        (found) =>
          `1:${found}; the name of a tool: printable ASCII without blank and \`*\`, at most 128 characters; or \`*\` alone for all others`,
      ),
    ],
  ],
  [
    "a role with a reserved name",
    "roles: { anyone: [{ issuer: okta }], authenticated: [{ issuer: okta }] }",
    ["anyone", "authenticated"].map(
      (name, i) =>
        `1:${i === 0 ? 10 : 38}: a role named "${name}"; another name: in \`allow\` this word has a meaning of its own`,
    ),
  ],
  [
    "an empty binding",
    "roles: { a: [{}] }",
    ["1:14: an empty mapping; a binding such as `{ issuer: okta, group: Admins }`: all its keys must hold"],
  ],
  ["no bindings", "roles: { a: [] }", ["1:13: an empty list; a list of bindings: who has one of them has the role"]],
  [
    "a binding that is for everyone until a time",
    "roles: { a: [{ until: 2027-01-01T00:00:00Z }] }",
    ["1:14: a binding that says nothing of who has the role; add `issuer`, `subject`, `group` or another key"],
  ],
  [
    "an unknown issuer",
    "roles: { a: [{ issuer: otka, group: x }] }",
    ['1:24: no issuer "otka"; did you mean "okta"? Else the configuration has "okta", "aws"'],
  ],
  [
    "an unknown kind",
    "roles: { a: [{ issuer: okta, kind: human }] }",
    ['1:36: the text "human"; `person`, `workload` or `agent`'],
  ],
  [
    "a time that is none",
    "roles: { a: [{ issuer: okta, until: tomorrow }] }",
    ['1:37: the text "tomorrow"; a time such as `2026-12-01T00:00:00Z`, from which the binding no longer holds'],
  ],
  ...["2026-13-01T00:00:00Z", "2027-02-31T00:00:00Z", "2027-02-29T10:00:00.5+02:00", "2027-02-28T24:00:00Z"].map(
    (time): Row => [
      `a time that there is not: ${time}`,
      `roles: { a: [{ issuer: okta, until: ${time} }] }`,
      [`1:37: "${time}" is no time; a time that there is, such as \`2026-12-01T00:00:00Z\``],
    ],
  ),
  [
    "a scope with a blank",
    'roles: { a: [{ issuer: okta, scope: "a b" }] }',
    [
      '1:37: the text "a b"; an OAuth 2.0 scope: printable characters without blank, `"` and `\\`; or `{ prefix: TEXT }`, `{ suffix: TEXT }`, `{ equals: TEXT }`',
    ],
  ],
  ...(
    [
      ["subject", '"*@example.com"', 1, "*"],
      ["subject", "/^alice/", 0, "/"],
      ["group", '"ext-*"', 5, "*"],
      ["group", '"ext-?"', 5, "?"],
      ["group", '"%admins%"', 1, "%"],
      ["group", '"^ext-"', 1, "^"],
      ["group", '"Admins$"', 7, "$"],
      ["group", '"ext-.+"', 5, ".+"],
      ["group", "<team>", 0, "<team>"],
      ["group", '"team-{name}"', 6, "{name}"],
      ["group", '":team"', 1, ":"],
      ["scope", '"orders:*"', 8, "*"],
    ] as const
  ).map(
    ([key, text, offset, sign]): Row => [
      `a sign of other tools: ${key}: ${text}`,
      `roles: { a: [{ issuer: okta, ${key}: ${text} }] }`,
      [
        `1:${32 + key.length + offset}: \`${sign}\`, which has no meaning in a name; \`{ prefix: ext- }\` or \`{ suffix: "@example.com" }\`; \`{ equals: "${text.replaceAll('"', "")}" }\` if it is really called so`,
      ],
    ],
  ),
  ...(
    [
      ["group", "“Banned”", 0, "`“`, which to YAML is no quote, at the beginning", "Banned"],
      ["group", "Readers”", 7, "`”`, which to YAML is no quote, at the end", "Readers"],
      ["subject", '" a"', 1, "a blank or line end at the beginning", "a"],
      ["group", '"Banned "', 7, "a blank or line end at the end", "Banned"],
      ["client", '"a\\u3000"', 2, "a blank or line end at the end", "a"],
    ] as const
  ).map(
    ([key, text, offset, found, name]): Row => [
      `what came along with a name: ${key}: ${text}`,
      `roles: { a: [{ issuer: okta, ${key}: ${text} }] }`,
      [
        `1:${32 + key.length + offset}: ${found} of a name; "${name}"; \`{ equals: ${text.startsWith('"') ? JSON.stringify(JSON.parse(text)) : `"${text}"`} }\` if it is really called so`,
      ],
    ],
  ),
  [
    "what came along at the ends of a prefix and a suffix that are their own, and elsewhere",
    'roles: { a: [{ issuer: okta, group: { prefix: " ext " } }, { issuer: okta, group: { suffix: " ext " } }, { issuer: okta, claim: { "a ": "b ", c: O’Neil }, actor: { issuer: "https://id.example.com " } }] }',
    [
      '1:48: a blank or line end at the beginning of a name; "ext "',
      '1:98: a blank or line end at the end of a name; " ext"',
      '1:131: ` ` in a claim\'s path, where it has no meaning, in the path "a "; names with dots between, such as `realm_access.roles`; the names as a list, such as `[resource_access, my.app, roles]`, are taken as they are',
      '1:139: a blank or line end at the end of a name; "b"; `{ equals: "b " }` if it is really called so',
      '1:173: "https://id.example.com ", which no token has; the actor\'s whole `iss`, as tokens have it: another binding for each that differs in this',
    ],
  ],
  [
    "a sign in a prefix, and in a claim's value",
    'roles: { a: [{ issuer: okta, group: { prefix: "ext-*" } }, { issuer: okta, claim: { azp: "app-*" } }] }',
    [
      "1:52: `*`, which has no meaning in a name; the letters alone: what stands before or behind them may be anything",
      '1:95: `*`, which has no meaning in a name; `{ prefix: ext- }` or `{ suffix: "@example.com" }`; `{ equals: "app-*" }` if it is really called so',
    ],
  ],
  [
    "two ways at once",
    "roles: { a: [{ issuer: okta, group: { equals: a, prefix: b } }] }",
    ["1:47: `equals` beside another key; `equals` alone, or `prefix` and `suffix`"],
  ],
  [
    "a required scope with a sign",
    route('{ name: r, match: [GET /], allow: [authenticated], scopes: ["orders:*"] }'),
    ['8:77: `*`, which has no meaning in a name; the whole scope; `{ equals: "orders:*" }` if it is really called so'],
  ],
  ...["realm_access[0]", "$.roles", "/realm/roles", "realm_access.*.roles", "a..b", "roles.", "<role>", "%a"].map(
    (path): Row => [
      `a claim's path with a sign: ${path}`,
      `roles: { a: [{ issuer: okta, claim: { "${path}": x } }] }`,
      [
        `1:39: \`${/[*?%^<>{}[\]]|^[$/]|\.\.|\.$/.exec(path)?.[0].charAt(0)}\` in a claim's path, where it has no meaning, in the path "${path}"; names with dots between, such as \`realm_access.roles\`; the names as a list, such as \`[resource_access, my.app, roles]\`, are taken as they are`,
      ],
    ],
  ),
  [
    "a claim's path with slashes, and one in a list",
    "roles: { a: [{ issuer: okta, claim: { realm_access/roles: x } }, { issuer: okta, claim: [{ path: a/b, value: x }] }] }",
    [
      '1:39: `/` between the names of a claim\'s path, in the path "realm_access/roles"; dots between the names to descend; the names as a list, such as `[resource_access, my.app, roles]`, are taken as they are',
      "1:99: `/` between the names of a claim's path; dots between the names to descend; the names as a list, such as `[resource_access, my.app, roles]`, are taken as they are",
    ],
  ],
  [
    "a role that includes itself",
    "roles: { a: [{ role: b }], b: [{ role: c }], c: [{ role: a }] }",
    ["1:58: the role includes itself: a -> b -> c -> a; remove one of these inclusions"],
  ],
  [
    "inclusions without a sensible end",
    `roles: { ${Array.from({ length: 40 }, (_, i) => `r${i}: [{ role: r${i + 1} }]`).join(", ")}, r40: [{ issuer: okta }] }`,
    ["1:687: more than 32 inclusions in a row; remove one of these inclusions"],
  ],
  [
    "more identity headers than an answer holds",
    `services: { s: { hosts: [h.example], issuers: [aws], backend: b, headers: { ${Array.from({ length: 65 }, (_, i) => `x-auth-${i}: principal.subject`).join(", ")} }, ${ONE} } }`,
    ["1:26: the policies set 65 different identity headers; at most 64 in all services together"],
  ],
  [
    "an unknown role, included",
    "roles:\n  reader: [{ issuer: okta }]\n  writer: [{ role: raeder }]",
    ['3:20: no role "raeder"; did you mean "reader"? Else define it under `roles`'],
  ],
  [
    "unknown roles, used",
    route("{ name: r, match: [GET /], allow: [reeder], deny: [nobody] }", READER),
    [
      '9:44: no role "reeder"; did you mean "reader"? Else define it under `roles`',
      '9:60: no role "nobody"; define it under `roles`',
    ],
  ],
  [
    "a route that allows nobody, by mistake",
    route("{ name: r, match: [GET /] }"),
    [
      '8:11: the route "r" does not say whom it allows; add `allow: [a role]`, `[authenticated]` or `[anyone]`, here or at the service',
    ],
  ],
  [
    "anyone and somebody",
    route("{ name: r, match: [GET /], allow: [anyone, authenticated] }"),
    ["8:44: `anyone` beside other entries; `anyone` alone, which takes in all others; or the roles without it"],
  ],
  [
    "a role that nobody can have",
    route("{ name: r, match: [GET /], allow: [robot] }", "roles: { robot: [{ issuer: aws }] }\n"),
    [
      '9:44: no principal of this service can have the role "robot": its bindings are for other issuers, kinds or accounts; a role with a binding for "okta", or more `issuers` at the service',
    ],
  ],
  [
    "a role for a kind that no principal of the issuer has",
    "roles: { person: [{ issuer: aws, kind: person }] }\nservices: { s: { hosts: [h.example], issuers: [aws], backend: b, routes: [{ name: r, match: [GET /], allow: [person] }] } }",
    [
      '2:110: no principal of this service can have the role "person": its bindings are for other issuers, kinds or accounts; a role with a binding for "aws", or more `issuers` at the service',
    ],
  ],
  [
    "a method in lower case",
    route('{ name: r, match: ["get /"], allow: [authenticated] }'),
    ["8:29: the method get in lower case; methods are case-sensitive: GET"],
  ],
  [
    "a capture that does not end",
    route('{ name: r, match: ["GET /a/{id"], allow: [authenticated] }'),
    ["8:36: a wildcard without its }; close it; a brace that an expression means is `\\{` or `\\}`"],
  ],
  [
    "patterns that overlap",
    service(
      '    allow: [authenticated]\n    routes:\n      - { name: a, match: ["GET /x/{id}"] }\n      - { name: b, match: ["* /x/y"] }\n',
    ),
    [
      '10:28: "* /x/y" and "GET /x/{id}" of the route "a" at p.yaml:9:28 both match "GET /x/y", and neither is more specific; make one more specific, or add a pattern for what both match',
    ],
  ],
  [
    "patterns that are equal",
    service(
      '    allow: [authenticated]\n    routes:\n      - { name: a, match: ["GET /x/{id}"] }\n      - { name: b, match: ["GET /x/{name}"] }\n',
    ),
    ['10:28: "GET /x/{name}" matches just what "GET /x/{id}" of the route "a" at p.yaml:9:28 does; remove one of them'],
  ],
  [
    "two routes of one name",
    service(
      "    allow: [authenticated]\n    routes:\n      - { name: a, match: [GET /x] }\n      - { name: a, match: [GET /y] }\n",
    ),
    ['10:17: a second route "a" in this service; another name; the first is at p.yaml:9:11'],
  ],
  [
    "a condition on an unknown field",
    route('{ name: r, match: [GET /], allow: [authenticated], when: principal.sub == "x" }'),
    ["8:76: no field `sub` of `principal`; `subject`"],
  ],
  [
    "a condition that is a text",
    route('{ name: r, match: [GET /], allow: [authenticated], when: "principal.subject" }'),
    ["8:67: a value of type string; a condition, true or false"],
  ],
  [
    "a condition on a capture that not every pattern has",
    route(`{ name: r, match: ["GET /{id}", GET /], allow: [authenticated], when: 'request.params.id == "1"' }`),
    [
      "8:79: `request.params.id`, but the route's patterns have no captures in common; a capture `{id}` in each pattern of the route",
    ],
  ],
  [
    "a condition on nobody",
    route('{ name: r, match: [GET /], allow: [anyone], when: principal.subject == "x" }'),
    [
      "8:59: a condition that reads the principal, on a route that allows `anyone`; there is no principal: read only the request, or allow roles or `authenticated`",
    ],
  ],
  [
    "keys that contradict anyone",
    route(
      "{ name: r, match: [GET /], allow: [anyone], scopes: [a], deny: [reader], headers: { x-auth-a: principal.subject }, optional: true, shadow: { allow: [] } }",
      READER,
    ),
    [
      ["scopes", 53],
      ["deny", 66],
      ["headers", 82],
      ["optional", 124],
      ["shadow", 140],
    ].map(([key, column]) => `9:${column}: \`${key}\` on a route that allows \`anyone\`; ${NOT_FOR_ANYONE}`),
  ],
  [
    "identity headers that cannot be",
    route(
      "{ name: r, match: [GET /], allow: [authenticated], headers: { X-Auth-A: principal.subject, host: principal.subject, x-forwarded-user: principal.subject, x-ok: principal.groups } }",
    ),
    [
      '8:71: the header name "X-Auth-A"; lower-case letters, digits and `-` only, at most 64: HAProxy deletes others',
      '8:100: the header name "host"; another name: HAProxy, or a proxy after it, sets or reads this one itself',
      '8:125: the header name "x-forwarded-user"; another name: HAProxy, or a proxy after it, sets or reads this one itself',
      "8:168: a value of type list<string>; a string, or null for no header; list() makes one of a list, json() of any value",
    ],
  ],
  [
    "hosts that are none",
    `services: { s: { hosts: [https://x.example.com, x.example.com:80], backend: s, audiences: [api://orders], issuers: [okta], ${ONE} } }`,
    ["1:26: a scheme before the host; `x.example.com`", "1:62: a port behind the host; `x.example.com`"],
  ],
  [
    "an issuer with several audiences",
    `services: { s: { hosts: [x.example.com], backend: s, ${ONE} } }`,
    [
      '1:13: the issuer "okta" lists several audiences, and the service does not say which are its own; add `audiences` with some of "api://orders", "api://files"',
    ],
  ],
  [
    "an audience that no issuer lists",
    `services: { s: { hosts: [x.example.com], backend: s, issuers: [okta], audiences: [api://order, api://orders], ${ONE} } }`,
    ['1:83: no issuer of the service lists the audience "api://order"; one of "api://orders", "api://files"'],
  ],
  [
    "an issuer of a service that there is not",
    `services: { s: { hosts: [x.example.com], issuers: [okta, nobody], audiences: [api://orders], backend: s, ${ONE} } }`,
    ['1:58: no issuer "nobody"; the configuration has "okta", "aws"'],
  ],
  [
    "a default of the service, once for all its routes",
    service(
      "    allow: [authenticated]\n    when: principal.sub == 1\n    deny: [nobody]\n    routes:\n      - { name: a, match: [GET /x], shadow: { allow: [] } }\n      - { name: b, match: [GET /y] }\n",
    ),
    ["8:21: no field `sub` of `principal`; `subject`", '9:12: no role "nobody"; define it under `roles`'],
  ],
  [
    "the agent's own backend",
    `services: { s: { hosts: [x.example.com], issuers: [aws], backend: countersign-agent, ${ONE} } }`,
    ['1:67: the text "countersign-agent"; the name of a HAProxy backend'],
  ],
];

const MCP = "https://s.example.com/mcp";
const AUTHORIZED = {
  name: "okta",
  audiences: [MCP],
  credentials: ["bearer"],
  kinds: undefined,
  server: "https://okta",
};
/** A service with a resource that has these keys beside its URL, and another route. */
const guarded = (resource: string, more = "", routes = "") =>
  `services:\n  s:\n    hosts: [s.example.com]\n    backend: s\n    allow: [authenticated]\n${more}    resource: ${resource}\n    routes: [{ name: r, match: [GET /mcp] }${routes}]\n`;
const UNLISTED = "to the issuer's `audiences`; or say `audience` for what the authorization server puts into `aud`";

/** What some client would not take, or take for another, in the URL of line 6 from column 23 on. */
const URLS: readonly (readonly [url: string, fault: string])[] = [
  ["mcp", "23: no URL"],
  ["ftp://s.example.com/mcp", "23: no URL"],
  ["http://s.example.com/mcp", "23: http"],
  ["https://s.example.com/mcp?a=b", "48: a query or fragment"],
  ["https://s.example.com/mcp#a", "48: a query or fragment"],
  ["https://a:b@s.example.com/mcp", "23: a user in a URL"],
  ["https://s.example.com/mcp/", "48: a `/` at the end"],
  ["https://s.example.com/", "44: a `/` at the end"],
  ["https://S.example.com/mcp", "23: another form than the one that clients compare"],
  ["HTTPS://s.example.com/mcp", "23: no URL"],
  ["https://s.example.com:443/mcp", "23: another form than the one that clients compare"],
  ["https://s.example.com/a/../mcp", "23: another form than the one that clients compare"],
  ["https://s.example.com/%6dcp", "44: a path that not all read alike"],
  ["https://s.example.com//mcp", "44: a path that not all read alike"],
  ["https://s.example.com/scope=a", "44: a path that not all read alike"],
  ["https://s.example.com/it's", "44: a path that not all read alike"],
  ["https://other.example.com/mcp", '22: the host "other.example.com", which the service does not have'],
];

const RESOURCES: readonly Row[] = [
  [
    "all that there is",
    guarded(`{ url: "${MCP}", authorization_servers: [okta, "https://b"], name: b, scopes: [c] }`),
    [],
  ],
  ["a host as a whole", guarded('{ url: "https://s.example.com:8443", audience: "https://s.example.com/mcp" }'), []],
  [
    "tokens that would be refused",
    guarded('{ url: "https://s.example.com" }'),
    [`6:22: no issuer of the service lists the audience "https://s.example.com"; add it ${UNLISTED}`],
  ],
  [
    "an audience that nobody takes",
    guarded(`{ url: "${MCP}", audience: x }`),
    [`6:61: no issuer of the service lists the audience "x"; add it ${UNLISTED}`],
  ],
  [
    "a server that is none",
    guarded(`{ url: "${MCP}", authorization_servers: [otka, "http://b", "https://b?x"] }`),
    [
      '6:75: "otka" is no authorization server of the service\'s issuers; did you mean "okta"?',
      ...['6:81: "http://b"', '6:93: "https://b?x"'].map(
        (found) =>
          `${found} is no authorization server of the service's issuers; one of "okta", or an https URL without query`,
      ),
    ],
  ],
  [
    "what is no scope of an API",
    guarded(`{ url: "${MCP}", scopes: [a, offline_access] }`),
    [
      "6:63: the scope `offline_access`; leave it out: it is no scope of an API, and clients that want to stay logged in ask for it themselves",
    ],
  ],
  [
    "a route that it is not for",
    guarded(
      `{ url: "${MCP}" }`,
      "",
      ", { name: o, match: [GET /other] }, { name: h, match: [GET /h], allow: [anyone] }",
    ),
    [
      `7:65: a path outside of the resource ${MCP}; a \`resource\` of the route's own, or a service of its own: clients take it for nothing else`,
    ],
  ],
  [
    "two documents at one place",
    guarded(`{ url: "${MCP}" }`, "", `, { name: o, match: [GET /mcp/b], resource: { url: "${MCP}", name: b } }`),
    [`7:95: another \`resource\` at s.example.com/mcp; the same of both; the first is at p.yaml:6:5`],
  ],
  [
    "nothing that is read",
    guarded(`{ url: "${MCP}" }`, "", `, { name: o, match: [GET /o], allow: [anyone], resource: { url: "${MCP}" } }`),
    [`7:91: \`resource\` on a route that allows \`anyone\`; ${NOT_FOR_ANYONE}`],
  ],
];

test("what no OAuth client would find, take, or get a token for is a fault of its resource", (t) => {
  const faultsOf = (policy: string) => findingsOf(policy, { issuers: [AUTHORIZED] }).faults;
  for (const [url, fault] of URLS) {
    const found = faultsOf(guarded(`{ url: "${url}", audience: "${MCP}" }`)).filter(
      (each) => !each.includes("outside"),
    );
    t.equal(found.length, 1, url);
    t.ok(found[0]?.startsWith(`p.yaml:6:${fault}`), `${url}: ${found[0]}`);
  }
  for (const [name, policy, faults] of RESOURCES) {
    t.strictSame(
      faultsOf(policy),
      faults.map((each) => `p.yaml:${each}`),
      name,
    );
  }
  t.end();
});

test("where clients are sent is said where several could be meant, and no token for another resource is asked about", (t) => {
  const other = { ...AUTHORIZED, name: "other", audiences: [MCP, "https://s.example.com/b"] };
  const aws = { name: "aws", audiences: ["a", "b"], credentials: ["bearer"], kinds: undefined };
  const faultsOf = (...issuers: PolicyIssuer[]) => findingsOf(guarded(`{ url: "${MCP}" }`), { issuers }).faults;
  t.strictSame(faultsOf(other), []);
  t.strictSame(faultsOf(AUTHORIZED, other), [
    "p.yaml:6:5: several authorization servers that clients could be sent to; `authorization_servers: [okta, other]`: clients take the first",
  ]);
  t.strictSame(faultsOf({ ...aws, audiences: [MCP] }), [
    "p.yaml:6:5: no authorization servers that clients could be sent to; `authorization_servers: [https://…]`: clients take the first",
  ]);
  t.match(faultsOf(AUTHORIZED, aws), [/the issuer "aws" lists several audiences/]);
  t.end();
});

test("a login that no client could be asked for is a fault", (t) => {
  const faults = (stepUp: string) =>
    findingsOf(route(`{ name: r, match: [GET /], allow: [authenticated], step_up: ${stepUp} }`)).faults;
  t.strictSame(faults("{ acr: [a, b], max_age: 30s }"), []);
  for (const wrong of [
    "{}",
    "{ acr: a b }",
    "{ acr: [] }",
    "{ acr: 1 }",
    "{ max_age: 0s }",
    "{ max_age: 900 }",
    "{ age: 1h }",
  ])
    t.equal(faults(wrong).length, 1, wrong);
  t.match(faults("{ max_age: 15 min }"), [/:8:\d+: the text "15 min"; how long ago the login may be, such as `30s`/]);
  t.end();
});

test("a backend's token is had where all who pass have one to exchange, and nowhere else", (t) => {
  const [okta, aws] = ENVIRONMENT.issuers;
  if (okta === undefined || aws === undefined) throw new Error("no issuers");
  const exchanging = { ...okta, exchanges: true };
  const found = (more: string, issuers: PolicyEnvironment["issuers"] = [exchanging, aws], takes = "[okta]") => {
    const text = `services:
  s:
    hosts: [s.example.com]
    issuers: ${takes}
    audiences: ${takes === "[okta]" ? "[api://orders]" : "[api://orders, api://aws]"}
    backend: s
    upstream_token: { exchange: okta, audience: api://stock, scopes: [b, a] }
    routes:
      - { name: r, match: [GET /], ${more} }
`;
    const { faults, warnings } = findingsOf(text, { issuers });
    return [...faults, ...warnings].map((text) => text.replace("p.yaml:", ""));
  };
  const all = "allow: [authenticated]";
  t.strictSame(found(all), []);
  t.strictSame(found("allow: [anyone]"), [], "a default is for routes that ask who it is");
  t.strictSame(found("allow: [anyone], upstream_token: { exchange: okta, audience: a }"), [
    `9:53: \`upstream_token\` on a route that allows \`anyone\`; ${NOT_FOR_ANYONE}`,
  ]);
  t.strictSame(found(`${all}, optional: true`), [
    "7:5: `upstream_token` on a route with `optional`; no `optional` there, or `upstream_token` at the routes that need it: who is anonymous has no token",
  ]);
  t.strictSame(found(`${all}, forward_credential: true`), [
    "7:5: `upstream_token` beside `forward_credential`; one of the two: the exchanged token takes the place of the client's",
  ]);
  t.strictSame(found(all, [okta, aws]), [
    '7:33: the issuer "okta" exchanges no tokens; `exchange: { client: … }` at the issuer "okta" in the configuration',
  ]);
  t.strictSame(found(all, [exchanging, aws], "[okta, aws]"), [
    '7:33: the service takes principals of "aws", too, who have no token of "okta" to exchange; `issuers: [okta]` at the service, and another service for the others',
  ]);
  t.strictSame(found(all, [{ ...exchanging, sessions: true }]), [
    '7:33: people log in at "okta" by a browser, and their sessions have no token to exchange; they are refused here (exchange-impossible): use the route for those who bring a token',
  ]);
  t.match(found(`${all}, upstream_token: { exchange: okat, audience: a }`), [
    /^9:\d+: no issuer "okat"; did you mean "okta"\?/,
  ]);
  t.match(found(`${all}, upstream_token: { exchange: okta }`), [/no "audience" here/]);
  t.match(found(`${all}, upstream_token: { exchange: okta, audience: "a b" }`), [
    /whom it is for, as that issuer calls it/,
  ]);
  t.match(found(`${all}, upstream_token: { exchange: okta, audience: a, scopes: ["a b"] }`), [/; a scope: printable/]);
  t.match(found(`${all}, upstream_token: { exchange: okta, audience: a, scope: b }`), [
    /unknown key "scope"; did you mean "scopes"/,
  ]);
  t.end();
});

const WARNINGS: readonly Row[] = [
  [
    "a login that no provider calls so",
    route('{ name: r, match: [GET /], allow: [authenticated], step_up: { acr: ["urn:example:*", mfa] } }'),
    [
      "8:77: `*` in an authentication context, which is compared letter by letter; the whole of it, as the provider's tokens have it",
    ],
  ],
  [
    "a role's path, which AWS does not tell",
    "roles: { a: [{ issuer: aws, arn: arn:aws:iam::123456789012:role/ci/deploy/reporting }, { issuer: aws, arn: arn:aws:iam::123456789012:user/ci/alice }] }",
    [
      '1:34: the path "ci/deploy/" of a role, which AWS does not tell and is not compared; `arn:aws:iam::123456789012:role/reporting`: no two roles of an account have one name',
    ],
  ],
  [
    "claims whose types cannot meet what they are compared with",
    'roles: { a: [{ issuer: okta, claim: { exp: "5", sub: 7, email_verified: "true", act: bot, iat: { prefix: a } } }, { issuer: okta, claim: [{ path: [sub], value: true }] }] }',
    [
      '1:44: a text compared with the claim "exp", which is a number: it is never equal; a number to compare it with',
      '1:54: a number compared with the claim "sub", which is a text: it is never equal; a text to compare it with',
      '1:73: a text compared with the claim "email_verified", which is a boolean: it is never equal; a boolean to compare it with',
      '1:86: a text compared with the claim "act", which is a mapping: it is never equal; a path into it, such as `act.sub`',
      '1:96: a text compared with the claim "iat", which is a number: it is never equal; a number to compare it with',
      '1:139: a boolean compared with the claim "sub", which is a text: it is never equal; a text to compare it with',
    ],
  ],
  [
    "tools without the method that calls them",
    "services: { a: { issuers: [aws], hosts: [h.example], backend: b, allow: [authenticated], routes: [{ name: r, match: [POST /mcp], mcp: { methods: [tools/list], tools: { a: {} } } }] } }",
    ["1:167: tools that nobody can call; `tools/call` in `methods`, or no `tools`"],
  ],
  ...["* /{path...}", "POST /mcp/{path...}", "POST /MCP", "PUT /mcp"].map(
    (beside): Row => [
      `\`${beside}\` beside an MCP server's path`,
      `services: { a: { issuers: [aws], hosts: [h.example], backend: b, allow: [authenticated], routes: [{ name: r, match: [POST /mcp], mcp: { tools: { t: {} } } }, { name: o, match: ["${beside}"] }, { name: p, match: ["GET /mcp"], backend: c }] } }`,
      [
        `1:118: \`${beside.includes("{") ? "POST /mcp/" : beside}\`, which a server may take for \`POST /mcp\`, leads to the same backend by a route without \`mcp\`; the methods of the path at the route with \`mcp\`, and elsewhere another backend, or patterns that do not take it`,
      ],
    ],
  ),
  [
    "who might act, as if they did",
    "roles: { a: [{ issuer: okta, claim: { may_act.sub: bot } }] }",
    [
      '1:52: the claim "may_act", which says who might act for the subject, and proves nothing; `actor: { subject: NAME }`, which asks who does',
    ],
  ],
  [
    "scopes as one claim",
    "roles: { a: [{ issuer: okta, claim: { scope: a } }] }",
    [
      '1:46: the claim "scope", which holds all scopes as one text; `scope: NAME` in the binding, which looks for one of them',
    ],
  ],
  [
    "a path that ends in a slash, which elsewhere is all below",
    'services: { a: { issuers: [aws], hosts: [h.example], backend: b, allow: [anyone], routes: [{ name: r, match: [GET /, "* /admin/", GET /docs, GET /docs/] }] } }',
    [
      "1:118: `* /admin/`, which is this one path; `* /admin/{path...}` for all that lies below; this path without the `/` beside it where it alone is meant",
    ],
  ],
  [
    "a binding for every issuer",
    "roles: { a: [{ group: x }] }",
    ['1:14: a binding without `issuer`; it holds for principals of every issuer ("okta", "aws"); name one'],
  ],
  [
    "a binding that has ended",
    "roles: { a: [{ issuer: okta, group: g, until: 2026-01-01T00:00:00Z }] }",
    ["1:47: the binding ended at 2026-01-01T00:00:00Z; remove it, or give a later time"],
  ],
  [
    "a binding that lets nobody in",
    route(
      "{ name: r, match: [GET /], allow: [any] }",
      "roles:\n  any:\n    - { issuer: okta }\n    - { issuer: aws }\n",
    ),
    [
      "4:7: a binding that can let nobody in; the services that use its role take no principal of its issuer, kind or account: remove it, or correct it",
    ],
  ],
  [
    "a condition that nobody anonymous can meet",
    route('{ name: r, match: [GET /], allow: [authenticated], optional: true, when: principal.subject == "x" }'),
    [
      "8:82: a condition that reads the principal, on a route with `optional`; a request without a credential is refused where the condition asks for the principal",
    ],
  ],
  [
    "an issuer whose tokens cannot pass",
    `services: { s: { hosts: [x.example.com], backend: s, audiences: [api://orders], ${ONE} } }`,
    [
      '1:65: none of the audiences of the issuer "aws" is among them; none of its tokens can pass: add one of its audiences, or leave it out of `issuers`',
    ],
  ],
];

test("every mistake is told with its place and what would be right", (t) => {
  for (const [name, policy, faults] of FAULTS) {
    t.strictSame(
      findingsOf(policy).faults,
      faults.map((fault) => `p.yaml:${fault}`),
      name,
    );
  }
  t.end();
});

test("what is allowed but hardly meant is a warning", (t) => {
  for (const [name, policy, warnings] of WARNINGS) {
    const findings = findingsOf(policy);
    t.strictSame(findings.faults, [], `${name} is no fault`);
    t.strictSame(
      findings.warnings,
      warnings.map((warning) => `p.yaml:${warning}`),
      name,
    );
  }
  const backend = findingsOf(`services: { s: { hosts: [h.example], issuers: [aws], backend: ordres, ${ONE} } }`, {
    backends: ["orders", "files"],
  });
  t.strictSame(backend.warnings, [
    'p.yaml:1:63: the configuration\'s `haproxy.backends` has no "ordres"; did you mean "orders"? Else give it its servers there, or say `ordres: external` where your own haproxy.cfg has it',
  ]);
  t.end();
});

test("a name in two files is told with both places", (t) => {
  const text = (name: string, host: string) =>
    `roles: { a: [{ issuer: okta }] }\nservices: { ${name}: { hosts: [${host}], issuers: [aws], backend: b, ${ONE} } }`;
  t.strictSame(findingsOf({ "a.yaml": text("s", "h.example"), "b.yaml": text("s", "i.example") }).faults, [
    'b.yaml:1:10: a second role "a"; another name, or one entry for both; the first is at a.yaml:1:10',
    'b.yaml:2:13: a second service "s"; another name, or one entry for both; the first is at a.yaml:2:13',
  ]);
  t.strictSame(findingsOf({ "a.yaml": text("s", "h.example"), "b.yaml": text("t", "h.example") }).faults.slice(1), [
    'b.yaml:2:118: "GET /" of "t/r" matches just what "GET /" of "s/r" at a.yaml:2:118 does, and both services have the host "h.example"; remove one of them, or give the services hosts of their own',
  ]);
  t.end();
});

test("faults of all files and all sorts come at once, by file and place", (t) => {
  const { faults } = findingsOf({
    "a.yaml": `roles:\n  reader: [{ issuer: nobody }]\nservices:\n  s: { hosts: [x.example.com], backend: s, issuers: [aws], typo: 1, allow: [raeder], routes: [{ name: r, match: [get /] }] }\n`,
    "b.yaml":
      "services:\n  t: { hosts: [y.example.com:1], backend: s, issuers: [aws], routes: [{ match: [GET /] }, { name: q, match: [GET /q], allow: [nobody] }] }\n",
    "c.yaml": "a: 'b",
  });
  t.strictSame(
    faults.map((fault) => fault.slice(0, fault.indexOf(";"))),
    [
      'a.yaml:2:22: no issuer "nobody"',
      'a.yaml:4:60: unknown key "typo"',
      'a.yaml:4:77: no role "raeder"',
      "a.yaml:4:114: the method get in lower case",
      "b.yaml:2:29: a port behind the host",
      'b.yaml:2:71: no "name" here',
      'b.yaml:2:127: no role "nobody"',
      "c.yaml:1:4: a quote that is never closed",
    ],
  );
  t.end();
});
