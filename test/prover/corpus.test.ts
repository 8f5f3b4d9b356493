import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { RULES } from "../../haproxy/check/report.ts";
import { CORPUS, corpusFile, prove, told } from "./proving.ts";

const FILES = readdirSync(CORPUS).filter((name) => name.endsWith(".cfg"));
const textOf = (name: string) => readFileSync(join(CORPUS, name), "utf8");

/** What is told of each that lets a request through, at which line. */
const TOLD: Readonly<Record<string, readonly string[]>> = {
  "01": ["fault gate 25"],
  "02": ["fault gate 25"],
  "04": ["fault gate 14"],
  "05": ["fault gate 18"],
  "07": ["fault gate 10"],
  "08": ["fault gate 18"],
  "10": ["fault gate 18"],
  "11": ["fault gate 18"],
  "13": ["fault gate 18"],
  "14": ["fault gate 18"],
  "16": ["fault gate 18"],
  "17": ["fault gate 18"],
  "19": ["fault gate 19"],
  "20": ["fault gate 18"],
  "22": ["fault gate 19"],
  "23": ["fault gate 19"],
  "25": ["unproven gate 18", "unproven unknown 18", "fault gate 18"],
  "26": ["fault gate 19"],
  "28": ["fault gate 18"],
  "29": ["fault gate 18"],
  "31": ["fault mode 6"],
  "32": ["fault mode 13"],
  "34": ["fault gate 18"],
  "35": ["fault gate 18"],
  "37": ["fault gate 18"],
  "38": ["fault gate 18"],
  "40": ["fault gate 18"],
  "41": ["fault gate 18"],
  "43": ["unproven script 15"],
  "44": ["fault gate 19", "fault identity 21"],
  "46": ["fault gate 18"],
  "47": ["fault rewrite 14", "fault gate 18"],
  "49": ["fault rewrite 23"],
  "50": ["fault rewrite 25"],
  "52": ["fault rewrite 20"],
  "53": ["fault gate 19", "fault rewrite 21"],
  "55": ["fault rewrite 20"],
  "56": ["fault rewrite 22"],
  "58": ["fault identity 13"],
  "59": ["fault identity 13"],
  "61": ["fault choice 21"],
  "62": ["fault gate 20"],
  "64": ["fault choice 22"],
  "65": ["fault gate 25"],
  "67": ["fault gate 25"],
  "68": ["fault gate 20"],
  "70": ["fault cache 21"],
  "71": ["fault identity 18"],
  "73": ["fault identity 18"],
  "74": ["fault identity 19"],
  // Whether these two matter depends on the backend; the safe ones have the same lines.
  "76": [],
  "77": ["fault question 13"],
  "79": [],
  "80": ["fault parser 13"],
  "82": ["fault gate 19"],
  "83": ["fault source 14"],
  "85": ["fault early-data 11"],
  "86": ["fault gate 18"],
  "88": ["fault gate 18"],
};
/** Those of which only a warning can be given. */
const WARNED: Readonly<Record<string, string>> = { "76": "tunnel 15", "79": "trailers 21" };

test("every configuration that let a request through is found, at the line that does it", (t) => {
  const names = FILES.filter((name) => name.startsWith("bypass-"));
  t.strictSame(
    names.map((name) => name.slice(7, 9)),
    Object.keys(TOLD).toSorted(),
  );
  for (const name of names) {
    const report = prove({ [name]: textOf(name) });
    const number = name.slice(7, 9);
    t.strictSame(told(report), TOLD[number], name);
    for (const { level, code, example } of report.findings)
      if (level === "fault" && code === "gate") t.match(example, /^curl /, `${name} has an example`);
    const warned = WARNED[number];
    const warnings = report.findings.filter(({ level }) => level === "warning");
    if (warned !== undefined)
      t.ok(
        warnings.some(({ code, line }) => `${code} ${line}` === warned),
        `${name}: ${warned}`,
      );
  }
  t.end();
});

test("a gate that asks for an error that nothing sets is told so, where the SPOE file lacks it", (t) => {
  const { findings } = prove({ "x.cfg": textOf("bypass-46-no-set-on-error.cfg") });
  const notes = findings.flatMap(({ also }) => also.filter(({ note }) => note.includes("set-on-error")));
  t.match(notes, [{ file: /agent-noerr\.spoe\.conf$/, line: 2 }]);
  t.end();
});

test("those that look like it and refused every request are not called a fault", (t) => {
  for (const name of FILES.filter((file) => file.startsWith("safe-")))
    t.strictSame(told(prove({ [name]: textOf(name) })), [], name);
  t.end();
});

const BASE = textOf("bypass-76-upgrade-tunnel.cfg");
const DENY = "http-request deny deny_status 403 unless bound allowed";
const ASK = "http-request send-spoe-group cs authorize";
const DELETE = "http-request del-header x-auth- -m beg";

/** The base configuration with one text in the place of another. */
function edited(from: string, to: string, text = BASE): string {
  const found = text.replace(from, () => to);
  if (found === text) throw new Error(`${from} is not there`);
  return found;
}
const gate = (line: string) => edited(DENY, line);
const above = (line: string, text = BASE) => edited(DELETE, `${DELETE}\n    ${line}`, text);
const between = (line: string) => edited(ASK, `${ASK}\n    ${line}`);
const below = (line: string) => edited(DENY, `${DENY}\n    ${line}`);
const backend = (line: string, text = BASE) => edited("\nbackend app\n", `\nbackend app\n    ${line}\n`, text);
const besides = (...lines: readonly string[]) => `${BASE}${lines.join("\n    ").replaceAll("    #", "")}\n`;
const TWO = `${BASE}backend two\n    server x 127.0.0.1:5\n`;
const spoe = (name: string) => edited("agent.spoe.conf", name);

/** Edits of a configuration that let a request through on a real HAProxy, or that nobody can prove. */
const HOLES: Readonly<Record<string, string>> = {
  "a TCP listen to the server": besides("listen raw", "mode tcp", "bind :1", "server a 127.0.0.1:47081"),
  "allow in the defaults that the frontend names": edited(
    "frontend fe",
    "defaults gate\n    mode http\n    http-request allow if { path_beg /x }\nfrontend fe from gate",
    edited("\nbackend app", "\ndefaults plain\n    mode http\nbackend app"),
  ),
  "the verdict somewhere in a word": gate("http-request deny unless bound { var(txn.cs.verdict) -m sub allow }"),
  "the verdict at the beginning": gate("http-request deny unless bound { var(txn.cs.verdict) -m beg allow }"),
  "the verdict without regard to case": gate("http-request deny unless bound { var(txn.cs.verdict) -m str -i allow }"),
  "whatever is not deny": gate("http-request deny if { var(txn.cs.verdict) -m str deny }"),
  "no set-on-error, and only error and deny are refused": edited(
    "agent.spoe.conf",
    "agent-noerr.spoe.conf",
    gate("http-request deny if { var(txn.cs.error) -m found } or { var(txn.cs.verdict) -m str deny }"),
  ),
  "if not both": gate("http-request deny if !bound !allowed"),
  "another acl line of the name, below": below("acl allowed path_beg /x"),
  "a condition without a term": gate("http-request deny if"),
  "a condition that is a negation of nothing": gate("http-request deny if !"),
  "an empty word": gate('http-request deny if ""'),
  "an unset variable": gate('http-request deny if { path /b } "$X" or !allowed'),
  "a deployment's variable": edited(
    "global\n",
    "global\n    presetenv GATE on\n",
    gate(`.if streq("$GATE",on)\n    ${DENY}\n    .endif`),
  ),
  "TCP on both sides": backend("mode tcp", edited("    unique-id-format", "    mode tcp\n    unique-id-format")),
  "a TCP listen with rules, by another name": besides(
    "listen raw",
    "mode tcp",
    "bind :1",
    "tcp-request content accept",
    "server a localhost:47081",
  ),
  "a verdict that the session remembers": gate(
    "http-request set-var(sess.ok) bool(true) if bound allowed\n    http-request deny unless { var(sess.ok) -m bool }",
  ),
  "the verdict, where there is none yet": between("http-request set-var(txn.cs.verdict,ifnotset) str(allow)"),
  "the id": between("http-request set-var(txn.cs.id) unique-id"),
  "the id, by a format": between("http-request set-var-fmt(txn.cs.id) %[unique-id]"),
  "the verdict, by a converter of a constant": between(
    "http-request set-header x %[str(allow),set-var(txn.cs.verdict)]",
  ),
  "maxerrrate and a gate that asks for errors": edited(
    "agent.spoe.conf",
    "agent-down.spoe.conf",
    gate("http-request deny if { var(txn.cs.error) -m found } or { var(txn.cs.verdict) -m str deny }"),
  ),
  "the path, below": below("http-request set-path /secret if { path /public }"),
  "the target, below": below("http-request set-uri /secret"),
  "the method, above, where the agent is not told of it": above("http-request set-method GET if METH_POST"),
  "the method, below": below("http-request set-method GET"),
  "an identity from a header": below("http-request set-header x-auth-subject %[req.hdr(x-user)]"),
  "an identity from a header, by a variable": edited(
    DELETE,
    `${DELETE}\n    http-request set-var(txn.u) req.hdr(x-user)`,
    below("http-request set-header x-auth-subject %[var(txn.u)] if { var(txn.u) -m found }"),
  ),
  "a backend that a header names": `${edited(
    "    default_backend app",
    "    use_backend %[req.hdr(x-b)]\n    default_backend app",
  )}backend two\n    server x 127.0.0.1:5\n`,
  "a backend by a header": `${edited(
    "    default_backend app",
    "    use_backend two if { req.hdr(x-b) two }\n    default_backend app",
  )}backend two\n    server x 127.0.0.1:5\n`,
  "the server by another spelling": besides("listen o", "bind :1", "server z 127.1:47081"),
  "the server in IPv6": besides("listen o", "bind :1", "server z ::ffff:127.0.0.1:47081"),
  "the server by dispatch": besides("listen o", "bind :1", "dispatch 127.0.0.1:47081"),
  "the client's own destination": besides("listen o", "bind :1 transparent", "option transparent"),
  "the server by a template": besides("listen o", "bind :1", "server-template x 1 127.0.0.1:47081"),
  "a frontend that leads plain requests elsewhere, and has TLS": besides(
    "frontend both",
    "bind :80",
    "bind :443 ssl crt /x",
    "http-request redirect scheme https unless { ssl_fc }",
    "default_backend app",
  ),
  "a cache above": `${above("http-request cache-use c")}cache c\n    total-max-size 4\n`,
  "a deletion of one name instead of all": edited("del-header x-auth- -m beg", "del-header x-auth-"),
  "a deletion under a condition": edited(DELETE, `${DELETE} if { src 10.0.0.0/8 }`),
  "another path is judged": spoe("agent-xfu.spoe.conf"),
  "an agent over the network": edited("127.0.0.1:47900", "10.0.0.9:47900"),
  "an agent that anybody may be": edited("127.0.0.1:47900", "agent.example:47900 ssl verify none"),
  "an inner socket for all": `${edited("server s1 127.0.0.1:47081", "server s1 /run/x.sock")}frontend inner
    bind /run/x.sock mode 666
    default_backend real
backend real
    server a 127.0.0.1:9
`,
  "a redirect that may be left out": gate(
    "http-request redirect location %[var(txn.none)] ignore-empty unless bound allowed",
  ),
  "a chain over a socket that nothing judged dials": besides(
    "listen outer",
    "mode tcp",
    "bind :1",
    "server a unix@/run/outer.sock",
    "#frontend behind",
    "bind unix@/run/outer.sock",
    "default_backend app",
  ),
  "a judged frontend behind one that tells names apart": `${edited(
    "bind 127.0.0.1:47080",
    "bind unix@/run/inner.sock accept-proxy ssl crt /x",
    above("http-request allow if { path_beg /public }"),
  )}frontend tls
    mode tcp
    bind :443
    tcp-request inspect-delay 5s
    use_backend to-inner if { req.ssl_sni -i app.example }
backend to-inner
    mode tcp
    server inner unix@/run/inner.sock send-proxy-v2
`,
  "no gate": gate("# none"),
  "a Lua action": above("http-request lua.open"),
  "an unknown action": above("http-request frobnicate"),
  "a map of verdicts": gate("http-request deny unless { var(txn.cs.verdict),map(/x.map) -m str yes }"),
  "a second Host": below("http-request add-header host x"),
  "another Host": below("http-request replace-header Host (.*) x"),
  "the path, in the backend": backend("http-request set-path /x"),
  "an identity by forwardfor of the backend": backend("option forwardfor header x-auth-subject"),
  "a default_backend from defaults": `${edited("    mode http\n", "    mode http\n    default_backend app\n")}frontend x\n    bind :9\n`,
  "TCP by a name": besides(
    "frontend x",
    "mode tcp",
    "bind :9",
    "use_backend t if { req.ssl_sni -i a }",
    "#backend t",
    "mode tcp",
    "server a 127.0.0.1:47081",
  ),
  "a gate for one version of HTTP": gate("http-request deny if !allowed { req.ver 1.1 }"),
  "an identity that is written out": edited(
    "    default_backend",
    "    http-request set-header x-auth-subject admin if { path_beg /x }\n    default_backend",
  ),
  "an identity that nobody but HAProxy says": below("http-request set-header x-auth-subject %[src]"),
  "an identity from a log's alias": below("http-request set-header x-auth-subject %HQ"),
  "an identity that a converter joins": edited(
    DELETE,
    `${DELETE}\n    http-request set-var(txn.u) req.hdr(x-user)`,
    below("http-request set-header x-auth-subject %[str(),concat(,txn.u)]"),
  ),
  "an identity that is replaced": edited(
    "    default_backend",
    "    http-request replace-header x-auth-subject (.*) admin\n    default_backend",
  ),
  "a deletion by an expression in capitals, which are no header's": edited(
    "del-header x-auth- -m beg",
    "del-header ^X-Auth- -m reg",
  ),
  "a judged header that is deleted": edited(
    "agent.spoe.conf",
    "tenant.spoe.conf",
    below("http-request del-header x-tenant"),
  ),
  "a judged header that an option writes": edited(
    "agent.spoe.conf",
    "tenant.spoe.conf",
    below("option forwardfor header x-tenant"),
  ),
  "the verdict, written when the id is made": edited(
    "%[uuid(),regsub(-,,g)]",
    "%[uuid(),regsub(-,,g)]%[req.hdr(x-v),set-var(txn.cs.verdict),length]",
  ),
  "the verdict, written by use_backend above the backend's gate": edited(
    "    default_backend app",
    "    use_backend app if { req.hdr(x-v),set-var(txn.cs.verdict) -m found }\n    default_backend app",
    backend(
      "acl bound unique-id,strcmp(txn.cs.id) eq 0\n    http-request deny unless bound { var(txn.cs.verdict) -m str allow }",
      gate("# none"),
    ),
  ),
  "another engine's variable of another scope": edited(
    "    filter spoe",
    "    filter spoe engine geo config geo.spoe.conf\n    filter spoe",
    gate("http-request deny unless bound allowed or { var(req.geo.trusted) -m bool }"),
  ),
  "a client's address by a variable": above(
    "http-request set-var(txn.ip) req.hdr(x-ip)\n    http-request set-src var(txn.ip)",
  ),
  "a Lua sample that has no argument": above("http-request set-var(txn.x) lua.f"),
  "a backend by a variable of a header": above(
    "http-request set-var(txn.svc) req.hdr(x-svc)",
    edited(
      "    default_backend app",
      "    use_backend two if { var(txn.svc) -m str two }\n    default_backend app",
      TWO,
    ),
  ),
  "a backend by the path that came": above(
    "http-request set-var(txn.old) path\n    http-request set-path /v1%[path]",
    edited(
      "    default_backend app",
      "    use_backend two if { var(txn.old) -m beg /two }\n    default_backend app",
      TWO,
    ),
  ),
  "a backend by a query that the agent is not told": edited(
    "    default_backend app",
    "    use_backend two if { urlp(svc) two }\n    default_backend app",
    TWO,
  ),
  "a cache that the frontend of others shares": `${edited(
    "    filter spoe",
    "    filter cache c\n    filter spoe",
    below("http-response cache-store c"),
  )}cache c
    total-max-size 4
frontend others
    bind :9
    http-request cache-use c
    default_backend www
backend www
    http-response cache-store c
    server w 127.0.0.1:9
`,
  "a server whose address has a default": besides("listen o", "bind :1", `server a "\${WHERE-127.0.0.1:47081}"`),
  "an agent behind a SOCKS proxy": edited("127.0.0.1:47900", "127.0.0.1:47900 socks4 192.0.2.1:1080"),
  "an agent off this machine, behind a SOCKS proxy on it": edited(
    "127.0.0.1:47900",
    "192.0.2.9:47900 socks4 127.0.0.1:1080",
  ),
  "an agent off this machine, whose server has the name of an option": edited(
    "server a1 127.0.0.1:47900",
    "server verifyhost 192.0.2.9:47900 ssl",
  ),
  "an agent whose address has a default": edited("127.0.0.1:47900", `"\${AGENT-127.0.0.1:47900}"`),
  "an agent whose address has only a family": edited("127.0.0.1:47900", `"ipv4@\${AGENT}"`),
  "a word of the agent's line that has a default": edited("127.0.0.1:47900", `127.0.0.1:47900 "\${OPTIONS-check}"`),
  "words of the agent's line whose default is empty": edited("127.0.0.1:47900", `127.0.0.1:47900 "\${OPTIONS[*]-}"`),
  "a word of a server's defaults that nobody knows": edited("server a1", `default-server "\${OPTION}"\n    server a1`),
  "a word of a bind that has a default": edited("bind 127.0.0.1:47080", `bind 127.0.0.1:47080 "\${BIND-defer-accept}"`),
  "an option that has a default": edited("    unique-id-format", `    option "\${LOG-httplog}"\n    unique-id-format`),
  "an identity that the client picks where the agent names nobody": below(
    "http-request set-header x-auth-subject admin if !{ var(txn.cs.subject) -m found } { req.hdr(x-debug) -m found }",
  ),
  "an identity that the client picks by a variable": below(
    `http-request set-var(txn.me) str(anonymous)
    http-request set-var(txn.me) str(admin) if { req.hdr(x-debug) -m found }
    http-request set-header x-auth-subject %[var(txn.me)] unless { var(txn.cs.subject) -m found }`,
  ),
  "an identity that the client picks by ending the rules": below(
    `http-request allow if { req.hdr(x-debug) -m found }
    http-request set-header x-auth-subject admin unless { var(txn.cs.subject) -m found }`,
  ),
  "an identity that something written out is joined to": edited(
    "    default_backend",
    "    http-request replace-header x-auth-subject ^(.*)$ admin,\\\\1 if { req.hdr(x-debug) -m found }\n    default_backend",
  ),
  "an identity that the client has something written out joined to": edited(
    "    default_backend",
    "    http-request set-header x-auth-subject admin,%[var(txn.cs.subject)] if { var(txn.cs.subject) -m found } { req.hdr(x-debug) -m found }\n    default_backend",
  ),
  "an address that is looked up into a variable that the gate believes": edited(
    ASK,
    `http-request do-resolve(txn.ok,dns,ipv4) req.hdr(x-me)\n    ${ASK}`,
    `${gate("http-request deny unless bound allowed or { var(txn.ok) -m found }")}resolvers dns\n`,
  ),
  "a rewrite between two questions": between(`http-request set-path /secret if { path /public }\n    ${ASK}`),
};

test("edits that let a request through are found, or called not proven", (t) => {
  for (const [name, text] of Object.entries(HOLES)) t.not(told(prove({ "x.cfg": text })).length, 0, name);
  t.end();
});

/** Edits after which every request is still judged. */
const WHOLE: Readonly<Record<string, string>> = {
  "a TCP frontend to an HTTP backend": edited("    unique-id-format", "    mode tcp\n    unique-id-format"),
  "allow below": below("http-request allow"),
  "a service of HAProxy's own": above("http-request use-service prometheus-exporter if { path /metrics }"),
  "accepted at the TCP level": edited(
    "    unique-id-format",
    "    tcp-request content accept if HTTP\n    tcp-request connection accept\n    unique-id-format",
  ),
  "two cases that are all": gate(
    "http-request deny if { path_beg /api } !bound\n    http-request deny if { path_beg /api } !allowed\n    http-request deny unless { path_beg /api } or bound allowed",
  ),
  "two cases by name": gate(
    "acl api path_beg /api\n    http-request deny if api !allowed or api !bound\n    http-request deny if !api !allowed or !api !bound",
  ),
  "only the allowed are led somewhere": `${edited(
    "default_backend app",
    "use_backend app if bound allowed\n    default_backend dead",
    gate("# none"),
  )}backend dead\n`,
  "a gate in the backend": backend(
    "acl bound unique-id,strcmp(txn.cs.id) eq 0\n    http-request deny unless bound { var(txn.cs.verdict) -m str allow }",
    gate("# none"),
  ),
  "a scope's mark": edited("frontend fe", "[x]\nfrontend fe"),
  "what is disabled": besides(
    "frontend i",
    "bind :1",
    "disabled",
    "default_backend app",
    "#listen l",
    "bind :2",
    "disabled",
    "server a 127.0.0.1:47081",
  ),
  "all the ways not to be allowed": gate("http-request deny if !bound or !allowed or { var(txn.cs.error) -m found }"),
  "the same, longer": gate("http-request deny if !bound or bound !allowed"),
  "a rewrite above": above("http-request set-path /x if { path /y }"),
  "a block that a build decides": edited(
    "    unique-id-format",
    "    .if feature(QUIC)\n    bind quic4@127.0.0.1:47080 ssl crt /x alpn h3\n    .endif\n    unique-id-format",
  ),
  "a frontend that leads all plain requests elsewhere": besides(
    "frontend plain",
    "bind :80",
    "http-request redirect scheme https unless { ssl_fc }",
    "default_backend app",
  ),
  "a password asked for above": above("http-request auth realm x if { path /a }"),
  "two gates": gate("http-request deny unless bound\n    http-request deny unless allowed"),
  "other ways to refuse": gate("http-request silent-drop unless bound\n    http-request tarpit unless allowed"),
  "statistics and another site": besides(
    "frontend st",
    "bind :8404",
    "stats enable",
    "stats uri /stats",
    "#frontend pub",
    "bind :80",
    "default_backend static",
    "#backend static",
    "server a 10.1.1.1:80",
  ),
  "a variable of one's own": gate(
    "http-request set-var(txn.v) var(txn.cs.verdict)\n    http-request deny unless bound { var(txn.v) -m str allow }",
  ),
  "a variable of one's own, by a format": gate(
    "http-request set-var-fmt(txn.v) %[var(txn.cs.verdict)]\n    http-request deny unless bound { var(txn.v) -m str allow }",
  ),
  "a number of one's own": gate(
    "http-request set-var(txn.ok) int(0)\n    http-request set-var(txn.ok) int(1) if bound allowed\n    http-request deny if { var(txn.ok) -m int 0 }",
  ),
  "a cookie that is called if": gate("http-request redirect location /x set-cookie if unless bound allowed"),
  "deletions by expression": edited("del-header x-auth- -m beg", "del-header ^x-auth- -m reg"),
  "deletions by a part of the name": edited("del-header x-auth- -m beg", "del-header x-auth -m sub"),
  "somebody for whom the agent names nobody": below(
    "http-request set-header x-auth-subject anonymous unless { var(txn.cs.subject) -m found }",
  ),
  "the agent's word with a word in front": edited("%[var(txn.cs.subject)]", "user:%[var(txn.cs.subject)]"),
  "somebody for whom the agent names nobody, by where they come from": below(
    "http-request set-header x-auth-subject office unless { var(txn.cs.subject) -m found } !{ src 10.0.0.0/8 }",
  ),
  "what of a line says nothing of who is asked, from the environment": edited(
    "127.0.0.1:47900",
    `127.0.0.1:47900 check inter "\${INTER-1s}" maxconn "\${MOST}"`,
    edited("bind 127.0.0.1:47080", `bind ":\${PORT}" ssl crt "\${CERTIFICATE-/x.pem}"`),
  ),
  "a cache of others alone": besides(
    "cache c",
    "total-max-size 4",
    "#frontend others",
    "bind :9",
    "http-request cache-use c",
    "http-response cache-store c",
    "default_backend www",
    "#backend www",
    "server w 127.0.0.1:9",
  ),
  "the constant compared with the verdict": gate(
    "http-request deny unless bound { str(allow),strcmp(txn.cs.verdict) eq 0 }",
  ),
};

test("edits after which every request is still judged are not called a fault", (t) => {
  for (const [name, text] of Object.entries(WHOLE)) t.strictSame(told(prove({ "x.cfg": text })), [], name);
  t.end();
});

test("a header that says who it is, and is written where the agent said nothing, is found", (t) => {
  const line = "http-request set-header x-auth-subject %[var(txn.cs.subject)]";
  const open = edited(`${line} if { var(txn.cs.subject) -m found }`, line);
  const named = { identityPrefix: "x-auth-", identityHeaders: ["x-auth-subject"] };
  t.strictSame(told(prove({ "x.cfg": open }, named)), ["fault identity 19"]);
  t.strictSame(told(prove({ "x.cfg": below("http-request set-header x-rule %[var(txn.cs.rule)]") }, named)), []);
  t.end();
});

test("where gates hold, a backend that no answer decides about is asked after, and one that a map may name", (t) => {
  const www = "backend www\n    server w 127.0.0.1:9\n";
  const acme = edited(
    "    default_backend app",
    "    use_backend www if { path_beg /acme/ }\n    default_backend app",
    BASE + www,
  );
  const exempt = edited(DENY, `${DENY} or { path_beg /acme/ }`, acme);
  const { findings } = prove({ "x.cfg": exempt });
  t.match(
    findings.filter(({ code }) => code === "gate"),
    [{ level: "unproven", line: 18, right: /^--public www,/ }],
  );
  t.strictSame(told(prove({ "x.cfg": exempt }, { public: ["www"] })), []);
  t.strictSame(told(prove({ "x.cfg": exempt }, { backends: ["www"] })), ["fault gate 18"]);
  const open = edited(DENY, "http-request set-header x y", acme);
  t.not(told(prove({ "x.cfg": open })).filter((one) => one.startsWith("fault gate")).length, 0, "no gate holds there");
  const sites = `${BASE}${www}frontend sites\n    bind :9\n    use_backend %[req.fhdr(host),map(/sites.map,www)]\n`;
  const by = (map: string) => told(prove({ "x.cfg": sites, "sites.map": map }));
  t.strictSame(by("www.example.com www\n"), ["unproven gate 30"]);
  t.strictSame(by("api.example.com app\n"), ["fault gate 30"]);
  t.end();
});

test("a public backend, other files, a version and a variable change what is found", (t) => {
  const open = `${BASE}frontend www\n    bind :80\n    default_backend www\nbackend www\n    server a 127.0.0.1:47081\n`;
  t.strictSame(told(prove({ "x.cfg": open }, { public: ["www"] })), ["fault gate 28"], "the same server all the same");
  const other = edited(
    "    default_backend app",
    "    use_backend www if { path /www }\n    default_backend app",
    `${BASE}backend www\n    server a 127.0.0.1:9\nfrontend f\n    bind :80\n    default_backend www\n`,
  );
  t.strictSame(told(prove({ "x.cfg": other })), ["fault gate 31"]);
  t.strictSame(told(prove({ "x.cfg": other }, { public: ["www"] })), []);
  const [first = "", second = ""] = BASE.split("backend app\n    ");
  t.strictSame(told(prove({ "1.cfg": `${first}`, "2.cfg": `backend app\n    ${second}` })).length, 0, "two files");
  const branched = gate(`.if version_atleast(3.0)\n    ${DENY}\n    .endif`);
  t.strictSame(told(prove({ "x.cfg": branched })), ["fault gate 18"]);
  t.strictSame(told(prove({ "x.cfg": branched }, { version: "3.0.11" })), []);
  const by = gate('http-request deny unless "$' + '{GATE[*]}"');
  t.not(told(prove({ "x.cfg": by })).length, 0);
  t.strictSame(told(prove({ "x.cfg": by }, { defines: new Map([["GATE", "bound allowed"]]) })), []);
  t.strictSame(told(prove({ "x.cfg": by }, { defines: new Map([["GATE", "allowed or TRUE"]]) })), ["fault gate 18"]);
  t.ok(corpusFile("agent.spoe.conf"));
  t.end();
});

test("the documentation explains every code, and every code that is told has a line in SARIF", (t) => {
  const docs = readFileSync(join(import.meta.dirname, "../../docs/check-haproxy.md"), "utf8");
  for (const code of Object.keys(RULES)) t.ok(docs.includes(`\`${code}\``), code);
  const files = FILES.map((name) => prove({ [name]: textOf(name) }).findings);
  for (const { code } of files.flat()) t.ok(Object.hasOwn(RULES, code), code);
  t.end();
});
