import { test } from "tap";
import { mcpMessageOf } from "../../agent/answer/mcp.ts";
import { compilePolicies } from "../../policies/compile/compile.ts";
import { folded } from "../../policies/folded.ts";
import type { CompiledPolicies } from "../../policies/judging/compiled.ts";
import { differencesOf } from "../../policies/tools/access.ts";
import { explain } from "../../policies/tools/explain.ts";
import { judgeAgain } from "../../policies/tools/replay.ts";
import { runSuite } from "../../policies/tools/suite.ts";
import { seeded } from "../protocol/mutate.ts";
import { call, LIST, rpc } from "../support/mcp.ts";
import { decide, ENVIRONMENT, NOON, policiesFrom, principalFrom } from "../support/policies.ts";

function read(body: string | Buffer, headers: Readonly<Record<string, string>> = {}) {
  const bytes = Buffer.from(body);
  const own = { "content-type": "application/json", "content-length": String(bytes.length) };
  const message = mcpMessageOf({ method: "POST", headers: { ...own, ...headers }, body: bytes });
  return typeof message === "string" ? message : { method: message.method, tool: message.tool };
}

test("what a body says, where every reader reads the same in it", (t) => {
  const nested = (levels: number) =>
    `{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":${"[".repeat(levels)}${"]".repeat(levels)}}}`;
  const good: readonly (readonly [body: string, method: string | undefined, tool?: string])[] = [
    [call("echo"), "tools/call", "echo"],
    [` \n${call("echo")} `, "tools/call", "echo"],
    [call("echo").replace("echo", "\\u0065cho"), "tools/call", "echo"],
    [LIST, "tools/list"],
    [
      rpc("tools/call", { name: "a.b/c-d_e", _meta: { name: "x" }, arguments: { name: "y", Name: "z" } }),
      "tools/call",
      "a.b/c-d_e",
    ],
    [
      rpc("tools/call", { name: "echo", arguments: { n: [0.1, 1e30, -7, 12345678901234567890n].map(Number) } }),
      "tools/call",
      "echo",
    ],
    [
      JSON.stringify({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } }),
      "notifications/cancelled",
    ],
    [
      JSON.stringify({ jsonrpc: "2.0", id: "a", result: { method: "tools/call", params: { name: "admin" } } }),
      undefined,
    ],
    [JSON.stringify({ jsonrpc: "2.0", id: 1, error: { code: -1, message: "" } }), undefined],
    [nested(60), "x"],
  ];
  for (const [body, method, tool] of good)
    t.strictSame(read(body), { method, tool }, JSON.stringify(body.slice(0, 80)));

  const echo = JSON.parse(call("echo"));
  const odd = (changes: object) => JSON.stringify({ ...echo, ...changes });
  const bad: readonly (string | Buffer)[] = [
    ...["", " ", "null", "7", '"tools/call"', "[]", `[${call("echo")}]`, "{}", "{", call("echo").slice(0, -1)],
    ...[
      `${call("echo")}${call("admin")}`,
      `${call("echo")}\n${call("admin")}`,
      `\ufeff${call("echo")}`,
      `x${call("echo")}`,
    ],
    ...[
      odd({ jsonrpc: "1.0" }),
      odd({ jsonrpc: 2 }),
      odd({ jsonrpc: undefined }),
      odd({ id: null }),
      odd({ id: 1.5 }),
      odd({ id: {} }),
    ],
    ...[
      odd({ result: {} }),
      odd({ error: {} }),
      odd({ extra: 1 }),
      odd({ Method: "x" }),
      odd({ params: [] }),
      odd({ params: "x" }),
    ],
    ...[
      odd({ method: 7 }),
      odd({ method: "" }),
      odd({ method: "tools/call " }),
      odd({ method: "TOOLS/call" }),
      odd({ method: "tools_call" }),
    ],
    ...[
      odd({ method: undefined }),
      odd({ method: undefined, params: undefined }),
      odd({ method: undefined, result: 1, error: 1 }),
    ],
    ...[
      {},
      { name: 7 },
      { name: "" },
      { name: ["echo"] },
      { name: "a b" },
      { name: "echo\n" },
      { name: "écho" },
      { name: "e".repeat(129) },
    ].map((params) => odd({ params })),
    ...["Name", "NAME", "na_me", "na-me", " name", "name\u0000", "ｎame", "na\u212ae".replace("\u212a", "m")].map(
      (key) => odd({ params: { name: "echo", [`${key}${key === "name" ? " " : ""}`]: "admin" } }),
    ),
    call("echo").replace('"name"', '"__proto__":{"name":"admin"},"name"'),
    call("echo").replace('"name"', '"name":"admin","name"'),
    call("echo").replace('"x":"1"', '"x":1,"x":2'),
    call("echo").replace('"1"', "1e999"),
    call("echo").replace('"1"', "NaN"),
    call("echo").replace('"1"', "01"),
    call("echo").replace('"1"', '"\\ud800"'),
    nested(70),
    Buffer.from(call("echo"), "utf16le"),
    Buffer.from(call("echo").replace("1", "\xff"), "latin1"),
  ];
  for (const body of bad) t.equal(read(body), "mcp-body-malformed", JSON.stringify(body.toString().slice(0, 90)));

  for (const [headers, expected] of [
    [{ "content-type": 'Application/JSON ; charset="UTF-8"' }, "echo"],
    [{ "content-type": "application/json, text/plain" }, "mcp-body-malformed"],
    [{ "content-type": "application/json; charset=utf-8; charset=utf-7" }, "mcp-body-malformed"],
    [{ "content-type": "application/jsonp" }, "mcp-body-malformed"],
    [{ "content-encoding": "identity" }, "mcp-body-unread"],
    [{ upgrade: "websocket" }, "mcp-body-unread"],
    [{ "content-length": "9999" }, "mcp-body-unread"],
    [{ "content-length": "" }, "mcp-body-unread"],
    [{ "mcp-method": "tools/call", "mcp-name": "echo" }, "echo"],
    [{ "mcp-method": "Tools/Call" }, "mcp-header-mismatch"],
    [{ "mcp-name": "Echo" }, "mcp-header-mismatch"],
    [{ "mcp-name": "" }, "mcp-header-mismatch"],
    [{ "mcp-name": "=?base64?ZWNobw==?=" }, "echo"],
    [{ "mcp-name": "=?base64?ZWNobw?=" }, "mcp-header-mismatch"],
    [{ "mcp-name": "=?base64??=" }, "mcp-header-mismatch"],
  ] as const) {
    const found = read(call("echo"), headers);
    t.equal(typeof found === "string" ? found : found.tool, expected, JSON.stringify(headers));
  }
  t.end();
});

type Members = readonly (readonly [key: string, value: Lenient])[];
type Lenient = { readonly members: Members } | readonly Lenient[] | string | number | boolean | null;

/** JSON as lenient as a backend could be: all members with their spellings, an end that is none, garbage behind it. */
class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text.replace(/^\ufeff/, "");
  }

  value(): Lenient {
    this.#blanks();
    const next = this.#text[this.#at];
    if (next === "{") return { members: this.#list("}", () => this.#member()) };
    if (next === "[") return this.#list("]", () => this.value());
    if (next === '"') return this.#string();
    const word = /[^\s,:{}[\]"]+/y;
    word.lastIndex = this.#at;
    const found = word.exec(this.#text)?.[0];
    if (found === undefined) throw new Error("no value");
    this.#at += found.length;
    return found === "true" ? true : found === "false" ? false : found === "null" ? null : Number(found);
  }

  #member(): readonly [string, Lenient] {
    const key = this.#string();
    this.#blanks();
    if (this.#text[this.#at] === ":") this.#at++;
    return [key, this.value()];
  }

  #list<T>(end: string, read: () => T): T[] {
    const all: T[] = [];
    this.#at++;
    for (;;) {
      this.#blanks();
      const next = this.#text[this.#at];
      if (next === end || next === undefined) {
        this.#at++;
        return all;
      }
      if (next === ",") this.#at++;
      else all.push(read());
    }
  }

  #string(): string {
    const text = /"((?:[^"\\]|\\[\s\S])*)"/y;
    text.lastIndex = this.#at;
    const found = text.exec(this.#text);
    if (found === null) throw new Error("no text");
    this.#at = text.lastIndex;
    return (found[1] ?? "").replace(/\\u([0-9a-f]{4})|\\([\s\S])/gi, (_, code, sign) =>
      code === undefined
        ? ({ n: "\n", t: "\t", r: "\r", b: "\b", f: "\f" }[sign as string] ?? sign)
        : String.fromCharCode(Number.parseInt(code, 16)),
    );
  }

  #blanks(): void {
    while (/\s/.test(this.#text[this.#at] ?? "")) this.#at++;
  }
}

const asIs = (key: string) => key;
/** How readers compare the keys of members, and texts. */
const FOLDS = [
  asIs,
  (key: string) => key.toLowerCase(),
  // Go's encoding/json: simple folding, by which the long s is an s and the Kelvin sign a k.
  (key: string) => key.toLowerCase().replaceAll("\u017f", "s").replaceAll("\u212a", "k"),
  (key: string) => key.trim(),
  (key: string) => key.split("\0", 1).join(""),
  (key: string) => key.normalize("NFKC"),
  (key: string) => key.replace(/[_-]/g, ""),
];

/** Every tool that some reader would call for a body. */
function toolsOf(body: Buffer): ReadonlySet<string> {
  const tools = new Set<string>();
  for (const encoding of ["utf8", "latin1", "utf16le"] as const) {
    const text = body.toString(encoding);
    for (const whole of [text, ...text.split("\n")]) {
      let value: Lenient;
      try {
        value = new Reader(whole).value();
      } catch {
        continue;
      }
      for (const message of Array.isArray(value) ? (value as Lenient[]) : [value]) {
        for (const fold of FOLDS) for (const pick of ["find", "findLast"] as const) addTool(message, fold, pick, tools);
      }
    }
  }
  return tools;
}

function addTool(message: Lenient, fold: (key: string) => string, pick: "find" | "findLast", tools: Set<string>): void {
  const member = (of: Lenient | undefined, name: string) =>
    typeof of === "object" && of !== null && "members" in of
      ? of.members[pick](([key]) => fold(key) === name)?.[1]
      : undefined;
  const method = member(message, "method");
  const name = member(member(message, "params"), "name");
  if (typeof method === "string" && fold(method).toLowerCase() === "tools/call" && typeof name === "string")
    tools.add(fold(name));
}

/** What a body is made of by somebody who would have it read in two ways. */
const TRICKS: readonly ((body: string, pick: <T>(all: readonly T[]) => T) => string)[] = [
  (body) => body.replace('"name":', '"name":"admin","name":'),
  (body) => body.replace(/"name":"[^"]*"/, '$&,"name":"admin"'),
  (body, pick) =>
    body.replace(
      '"name":',
      `"${pick(["Name", "NAME", "na\\u006de", "n\\u0061me", "name ", "name\\u0000", "na_me", "\\uff4eame"])}":"admin","name":`,
    ),
  (body, pick) =>
    body.replace(
      '"params":',
      `"${pick(["params", "Params", "param\u017f", "par\\u0061ms", "PARAMS"])}":{"name":"admin"},"params":`,
    ),
  (body, pick) =>
    body.replace(
      '"method":',
      `"${pick(["method", "Method", "m\\u0065thod", "METHOD", "method\\u0000"])}":"tools/call","method":`,
    ),
  (body, pick) =>
    body.replace(
      /"method":"[^"]*"/,
      `"method":"${pick(["tools/call", "Tools/Call", "tools/list", "tools\\/call", "tools/call\\u0000"])}"`,
    ),
  (body) => `${body}${call("admin")}`,
  (body) => `${body}\n${call("admin")}`,
  (body) => `[${body},${call("admin")}]`,
  (body, pick) => body.replace("echo", pick(["admin", "Echo", "\\u0061dmin", "ech\\u006f", "echo\\u0000", " echo"])),
  (body) => `\ufeff${body}`,
  (body, pick) => body.slice(0, pick([1, 2, 5, 20, 60])),
  (body, pick) => body.replace(",", pick([",,", " , ", ",\n", "", ",\u00a0"])),
  (body) => body.replace('"arguments":', '"arguments":{"name":"admin"},"Arguments":'),
  (body, pick) => body.replace(":", pick(["::", " : ", ":\t", "=", ":\u0000"])),
];

// Names that differ by case and signs alone are one to the rules (below).
test("no reader that is more lenient reads another tool in what passes", (t) => {
  const { random } = seeded(t);
  const pick = <T>(all: readonly T[]): T => all[random(all.length)] as T;
  const odd: string[] = [];
  let accepted = 0;
  t.ok(toolsOf(Buffer.from(call("echo").replace("{", '{"Method":"tools/call",'))).has("echo"), "the readers read");
  t.ok(toolsOf(Buffer.from(`[${call("echo")},${call("admin")}]`)).has("admin"));
  for (let i = 0; i < 20_000; i++) {
    let body = pick([
      call("echo"),
      LIST,
      rpc("prompts/get", { name: "echo" }),
      JSON.stringify({ jsonrpc: "2.0", id: 1, result: {} }),
    ]);
    for (let tricks = random(4); tricks > 0; tricks--) body = pick(TRICKS)(body, pick);
    const bytes = Buffer.from(body, random(50) === 0 ? "utf16le" : "utf8");
    if (random(5) === 0 && bytes.length > 0) bytes[random(bytes.length)] = random(256);
    const found = read(bytes);
    if (typeof found === "string") continue;
    accepted++;
    const others = [...toolsOf(bytes)].filter((tool) => folded(tool) !== folded(found.tool ?? ""));
    if (others.length > 0) odd.push(`${others.join()} instead of ${found.tool}: ${bytes}`);
  }
  t.strictSame(odd, []);
  t.ok(accepted > 2_000, `${accepted} passed`);
  t.end();
});

const POLICY = `
roles:
  admins: [{ issuer: okta, group: Admins }]
services:
  tools:
    hosts: [tools.example.com]
    issuers: [okta]
    audiences: [api://orders]
    backend: tools
    routes:
      - name: mcp
        match: [POST /mcp, GET /mcp]
        allow: [authenticated]
        scopes: [mcp:read]
        mcp:
          methods: [tools/list, tools/call, notifications/*]
          tools:
            echo: {}
            write: { scopes: [mcp:write, mcp:read] }
            admin: { allow: [admins], scopes: [mcp:admin] }
            "*": { scopes: [mcp:other] }
      - name: open
        match: [POST /open]
        allow: [authenticated]
        optional: true
        mcp: { tools: { echo: {}, admin: { scopes: [mcp:admin] } } }
      - { name: anyone, match: [POST /anyone], allow: [anyone], mcp: { methods: [ping] } }
`;
const policies = policiesFrom(POLICY) as CompiledPolicies;
const MCP = "POST https://tools.example.com/mcp";

const said = (method?: string, tool?: string) => ({ mcp: { method, tool, by: "body" } as const });

test("a route's methods and tools, each with the roles and scopes that it asks for", (t) => {
  const who = (scopes: string, groups: string[] = []) => principalFrom({ scopes: scopes.split(" "), groups });
  const rows: readonly (readonly [
    who: ReturnType<typeof who> | undefined,
    method: string | undefined,
    tool: string | undefined,
    reason: string,
    scopes?: string[],
  ])[] = [
    [who("mcp:read"), "tools/list", undefined, "allowed"],
    [who("mcp:read"), "tools/call", "echo", "allowed"],
    [who("mcp:read"), undefined, undefined, "allowed"],
    [who("mcp:read"), "notifications/initialized", undefined, "allowed"],
    [who("mcp:read"), "notifications", undefined, "mcp-method-not-allowed"],
    [who("mcp:read"), "resources/read", undefined, "mcp-method-not-allowed"],
    [who("mcp:read"), "tools/call", "write", "scope-missing", ["mcp:read", "mcp:write"]],
    [who("mcp:write"), "tools/call", "write", "scope-missing", ["mcp:read", "mcp:write"]],
    [who("mcp:read mcp:write"), "tools/call", "write", "allowed"],
    [who("mcp:read mcp:admin"), "tools/call", "admin", "role-missing"],
    [who("mcp:read mcp:admin", ["Admins"]), "tools/call", "admin", "allowed"],
    [who("mcp:read", ["Admins"]), "tools/call", "admin", "scope-missing", ["mcp:read", "mcp:admin"]],
    [who("mcp:read"), "tools/call", "others", "scope-missing", ["mcp:read", "mcp:other"]],
    [who("mcp:read mcp:other"), "tools/call", "others", "allowed"],
    [who("mcp:read mcp:other"), "tools/call", "Admin", "mcp-tool-not-allowed"],
    [who("mcp:read mcp:other"), "tools/call", "ad-min", "mcp-tool-not-allowed"],
    [undefined, "tools/call", "admin", "credential-missing"],
  ];
  for (const [principal, method, tool, reason, scopes = []] of rows) {
    const decision = decide(policies, MCP, principal, said(method, tool));
    t.match(decision, { reason, scopes: [...scopes] }, `${method} ${tool} ${principal?.scopes}`);
    t.equal(decision.scopes.length, scopes.length);
  }
  t.equal(decide(policies, MCP, who("mcp:read")).reason, "mcp-body-unread", "a body that nobody has read");
  t.equal(decide(policies, MCP, who("mcp:read"), { mcp: "mcp-body-malformed" }).reason, "mcp-body-malformed");
  const headers = { mcp: { method: "tools/list", tool: undefined, by: "headers" } } as const;
  t.equal(decide(policies, MCP, who("mcp:read"), headers).reason, "mcp-body-unread", "nobody said that headers do");

  const open = "POST https://tools.example.com/open";
  t.equal(decide(policies, open, undefined, said("tools/call", "echo")).reason, "anonymous");
  t.equal(decide(policies, open, undefined, said("tools/call", "admin")).reason, "credential-missing");
  t.equal(decide(policies, open, undefined, said("tools/call", "root")).reason, "mcp-tool-not-allowed");
  const anyone = "POST https://tools.example.com/anyone";
  t.equal(decide(policies, anyone, undefined, said("ping")).reason, "anyone");
  t.equal(decide(policies, anyone, undefined, said("tools/call", "echo")).reason, "mcp-method-not-allowed");
  t.end();
});

test("no body is read of who is refused for who they are", (t) => {
  const shadowed = POLICY.replace("scopes: [mcp:read]", "scopes: [mcp:read]\n        shadow: { scopes: [mcp:more] }");
  const own = policiesFrom(shadowed);
  const match = own.match("tools.example.com", "POST", "/mcp", {});
  if ("reason" in match) throw new Error(match.reason);
  let reads = 0;
  const request = {
    ...{ method: "POST", host: "tools.example.com", path: "/mcp", query: "" },
    ...{ src: "", tls: true, headers: {}, time: NOON },
    get mcp() {
      reads++;
      return said("tools/list").mcp;
    },
  };
  for (const [principal, reason] of [
    [undefined, "credential-missing"],
    [principalFrom({ issuer: "aws" }), "issuer-not-accepted"],
    [principalFrom({ audiences: ["api://elsewhere"] }), "audience-not-accepted"],
  ] as const) {
    t.match(own.decide(match, principal, request), { reason, shadow: { verdict: "deny", reason } });
  }
  t.equal(reads, 0);
  t.equal(own.decide(match, principalFrom({ scopes: ["mcp:read"] }), request).reason, "allowed");
  t.ok(reads > 0, "and of others it is");
  t.end();
});

test("only routes with `mcp` have anything read for them, and the same caller is judged anew each time", (t) => {
  const plain = policiesFrom(
    "services: { a: { hosts: [a.example], issuers: [aws], backend: a, routes: [{ name: r, match: [POST /], allow: [authenticated] }] } }",
  );
  t.notOk("bodies" in plain.uses);
  t.strictSame(plain.uses.requestHeaders, []);
  t.strictSame(
    policies.uses.bodies?.map(({ methods, path, whole }) => [methods.join(), path, whole]),
    [
      ["POST", "/mcp", true],
      ["GET,HEAD", "/mcp", true],
      ["POST", "/open", true],
      ["POST", "/anyone", true],
    ],
  );
  for (const [path, begin, end] of [
    ["/t/{tenant}/mcp", "/t/", "/mcp"],
    ["/{a}/b/{c}/d/mcp/", "/", "/d/mcp/"],
    ["/t/{rest...}", "/t", ""],
    ["/{rest...}", "/", ""],
    ["/t/{tenant}", "/t/", ""],
    ["/%C3%BC/mcp", "/", "/mcp"],
    ["/mcp/%C3%BC", "/mcp/", ""],
  ] as const) {
    const { uses } = policiesFrom(POLICY.replace("[POST /open]", `["POST ${path}"]`));
    t.match(uses.bodies?.[2], { path: begin, end, whole: false }, path);
  }
  const alice = principalFrom({ scopes: ["mcp:read"] });
  for (const [tool, reason] of [
    ["echo", "allowed"],
    ["write", "scope-missing"],
    ["echo", "allowed"],
  ] as const) {
    t.equal(decide(policies, MCP, alice, said("tools/call", tool)).reason, reason);
  }
  t.end();
});

test("what is tried out, explained, replayed and compared says what may be sent", (t) => {
  const cases = (more: string) => `
cases:
  - name: c
    request: ${MCP}
    principal: { issuer: okta, subject: alice, scopes: [mcp:read] }
    ${more}
`;
  const run = (more: string) => {
    const { faults, cases: results } = runSuite([{ file: "t.yaml", text: cases(more) }], policies, ENVIRONMENT);
    return faults.length > 0 ? faults : results.map(({ decision }) => decision.reason);
  };
  t.strictSame(run("mcp: { method: tools/call, tool: echo }\n    expect: { verdict: allow }"), ["allowed"]);
  t.strictSame(run("mcp: { method: tools/call, tool: admin }\n    expect: { verdict: deny }"), ["role-missing"]);
  t.strictSame(run("expect: { verdict: deny }"), ["mcp-body-unread"]);

  const request = {
    method: "POST",
    host: "tools.example.com",
    path: "/mcp",
    query: "",
    src: "",
    tls: true,
    headers: {},
    time: NOON,
  };
  const { steps } = explain(
    policies,
    { ...request, ...said("tools/call", "write") },
    { principal: principalFrom({ scopes: ["mcp:read"] }) },
  );
  const texts = steps.map(({ about, outcome, text }) => `${about} ${outcome} ${text}`);
  t.ok(
    texts.some((text) => text.startsWith("mcp yes tools/call write; the route takes {")),
    texts.join("\n"),
  );
  t.ok(texts.includes("scope no the tool asks for mcp:write, which the token lacks"));

  const principal = { issuer: "okta", subject: "alice", kind: "person", client: undefined, actor: undefined } as const;
  const known = { groups: [], scopes: ["mcp:read"], audiences: ["api://orders"], expiresAt: NOON + 1, claims: {} };
  const recorded = { verdict: "allow", reason: "allowed", rule: "tools/mcp", principal: { ...principal, ...known } };
  const replayed = (mcp: object) => judgeAgain(policies, { ...recorded, request: { ...request, ...mcp } });
  t.strictSame(replayed(said("tools/call", "echo")), { change: "same" });
  t.match(replayed(said("tools/call", "admin")), { change: "stricter", reason: "role-missing" });
  t.strictSame(replayed({}), { change: "unclear", missing: ["request.mcp"] });

  const compiled = (text: string) => {
    const found = compilePolicies([{ file: "p.yaml", text }], ENVIRONMENT);
    return "policies" in found ? (found.policies as CompiledPolicies) : policies;
  };
  const laxer = compiled(POLICY.replace("{ methods: [ping] }", "{ methods: [ping, tools/call] }"));
  t.match(differencesOf(policies, laxer), [{ path: "/anyone", change: "undecided", what: /methods/ }]);
  const without = compiled(POLICY.replace(", mcp: { methods: [ping] }", ""));
  t.match(differencesOf(policies, without), [{ path: "/anyone", change: "new" }]);
  t.match(differencesOf(without, policies), [{ path: "/anyone", change: "lost" }]);
  t.end();
});
