import { readFileSync } from "node:fs";
import { test } from "tap";
import { LOG_FIELDS } from "../../haproxy/access-log.ts";
import { ARGUMENTS, headerArgument } from "../../haproxy/arguments.ts";
import { contractText } from "../../haproxy/contract.ts";
import type { RenderInput } from "../../haproxy/input.ts";
import { PLACED_ARGUMENTS } from "../../haproxy/places.ts";
import { OWN_REASONS } from "../../haproxy/reasons.ts";
import { contractOf, renderFragment, renderHaproxy } from "../../haproxy/render.ts";
import { VARIABLES } from "../../haproxy/variables.ts";
import { CORS, INPUT } from "../support/rendered.ts";

const text = ["haproxy", "haproxy-contract"]
  .map((page) => readFileSync(new URL(`../../docs/${page}.md`, import.meta.url), "utf8"))
  .join("\n");

/** The rows of the table with this first line, as cells. */
function table(heading: string): string[][] {
  const lines = text.split("\n");
  const start = lines.indexOf(heading);
  if (start < 0) throw new Error(`no table ${heading}`);
  const length = lines.slice(start).findIndex((line) => !line.startsWith("|"));
  return lines.slice(start + 2, start + length).map((line) =>
    line
      .slice(1, -1)
      .split("|")
      .map((cell) => cell.trim()),
  );
}

test("every argument is in the docs as HAProxy sends it, and no other", (t) => {
  const placed = PLACED_ARGUMENTS.map(({ argument, sample, meaning }) => [
    argument,
    sample,
    "where an issuer takes it",
    meaning,
  ]);
  const fixed = Object.entries(ARGUMENTS).map(([name, { sample, sent, meaning }]) => [name, sample, sent, meaning]);
  const rows = [...fixed.slice(0, -1), ...placed, ...fixed.slice(-1)];
  const header = [headerArgument("<name>"), "req.fhdr(<name>)", "where a policy reads it", "a request header"];
  const code = (cells: readonly string[]) => cells.map((cell, i) => (i < 2 ? `\`${cell}\`` : cell));
  t.strictSame(table("| argument | sample | sent | meaning |"), [...rows, header].map(code));
  t.end();
});

test("every variable is in the docs, and no other", (t) => {
  const rows = Object.entries(VARIABLES).map(([name, { present, meaning }]) => [`\`${name}\``, present, meaning]);
  t.strictSame(table("| variable | set | meaning |").slice(0, -1), rows);
  t.match(text, "| `header_<n>` |");
  t.end();
});

test("every field of the access log is in the docs, in its order, and no other", (t) => {
  const rows = table("| field | meaning |");
  t.strictSame(
    rows.map(([name]) => name),
    LOG_FIELDS.map((name) => `\`${name}\``),
  );
  for (const [name = "", meaning = ""] of rows) t.ok(meaning.length > 5, name);
  t.end();
});

test("every header that never passes is in the security model, and no other", (t) => {
  const security = readFileSync(new URL("../../docs/security.md", import.meta.url), "utf8");
  const section = security.slice(security.indexOf("\n## Headers that never pass\n")).split("\n## ")[1] ?? "";
  const rows = section.split("\n").filter((line) => /^\| (?!what they would say )/.test(line));
  const listed = rows.flatMap((row) =>
    [...(row.split("|")[2] ?? "").matchAll(/`([a-z0-9*-]+)`/g)].map(([, name]) => name),
  );
  const rules = renderHaproxy(INPUT)["haproxy.cfg"].matchAll(
    /http-request del-header (\S+)(?: -m (beg))?( if| unless)?/g,
  );
  const deleted = [...rules].map(([, name, beginning, condition]) => ({
    name: `${name}${beginning ? "*" : ""}`,
    condition,
  }));
  const always = deleted.flatMap(({ name, condition }) => (condition === undefined ? [name] : []));
  t.strictSame(listed.toSorted(), always.toSorted());
  for (const { name, condition } of deleted) if (condition) t.match(section, `\`${name}\``);
  t.end();
});

const FORMS: readonly Partial<RenderInput>[] = [
  { version: "2.6" },
  { version: "3.5", backendVariables: ["mesh_identity", "assertion"], webAddress: "127.0.0.1:9902" },
  { client: { from: "x-forwarded-for", trusted: ["10.0.0.0/8"] } },
  { client: { from: "proxy-protocol", trusted: ["10.0.0.0/8"] } },
  {
    metadata: {
      documents: [{ host: "a.example", path: "/.well-known/oauth-protected-resource", body: "{}" }],
      serverless: [],
      closed: [],
    },
  },
  { backends: [{ name: "orders", servers: ["orders.shop:80"] }] },
  { cors: CORS },
  { uses: { ...INPUT.uses, credentials: ["bearer", "dpop"], proofs: ["dpop"] } },
  { uses: { ...INPUT.uses, credentials: ["bearer", "session:__Host-countersign"] } },
];
/** Directives whose name has two words. */
const TWO_WORDS = ["option", "no", "timeout", "http-request", "http-response", "tcp-request"];
/** What a reader needs no explanation for. */
const PLAIN = ["acl", "bind", "backend", "frontend", "[countersign]", ".if", ".else", ".endif"];

/** `http-request set-var` for `http-request set-var(txn.x) str(y) if z`; `no option async`. */
function directive(line: string): string {
  const [first = "", second = "", third = ""] = line.trim().split(/[ (]/);
  if (first === "no") return [first, second, third].join(" ");
  return TWO_WORDS.includes(first) ? `${first} ${second}` : first;
}

test("every directive of the generated files is explained", (t) => {
  const files = FORMS.flatMap((form) => Object.values(renderHaproxy({ ...INPUT, ...form })));
  const lines = files.join("\n").split("\n");
  const written = new Set(lines.filter((line) => /^\s*[^\s#]/.test(line)).map(directive));
  for (const name of written) {
    if (!PLAIN.includes(name)) t.ok(mentions(name), name);
  }
  t.ok(written.size > 50, `${written.size} directives`);
  t.end();
});

/** In code, or listed behind the first word: "`timeout connect`, `client`". */
function mentions(name: string): boolean {
  const [first = "", last = ""] = name.split(" ");
  if (new RegExp(`[\`*]${name.replace(/[[\]]/g, "\\$&")}\\b`).test(text)) return true;
  return first === "timeout" && new RegExp(`\`timeout [^\\n.]*\`${last}\``).test(text);
}

test("what the docs quote is what is generated", (t) => {
  const fragment = renderFragment(INPUT, "/etc/haproxy/countersign.spoe.conf");
  for (const marker of ["rules begin", "rules end", "frontend countersign", "use_backend"]) {
    t.ok(text.includes(`\`${marker}\``), marker);
    t.ok(fragment.includes(marker), marker);
  }
  const headers = [
    { name: "x-auth-subject", max: 256 },
    { name: "x-auth-roles", max: 512 },
  ];
  const uses = { ...INPUT.uses, identityHeaders: headers };
  t.ok(text.includes(`\`${contractText(contractOf({ uses }))}\``), "the contract");
  t.ok(text.includes("`agent-unavailable`") && Object.hasOwn(OWN_REASONS, "agent-unavailable"));
  t.end();
});
