import type { Files } from "./merged.ts";

/** What is done to a line, a rule or a file. */
export type Kind =
  | "line deleted"
  | "rules swapped"
  | "condition changed"
  | "word replaced"
  | "rule added"
  | "rule moved"
  | "way led elsewhere"
  | "entrance added"
  | "question changed";

/** One weakening of a configuration. */
export interface Mutant {
  readonly kind: Kind;
  readonly name: string;
  readonly files: Files;
}

const SPOE = "countersign.spoe.conf";

/** Where mutants have another entrance, and the judged server that it leads to. */
export const OTHER = 17_777;
const SERVER = 21_001;

/** Where a hostile client can make a condition true, and where it can make it false. */
const CONDITIONS = [
  "{ path_beg /public }",
  "{ req.fhdr(user-agent) -m beg kube-probe }",
  "METH_OPTIONS",
  "{ src 127.0.0.0/8 }",
  "{ url_param(debug) 1 }",
  "!{ req.fhdr(x-hop) -m found }",
];

/**
 * Single weakenings of haproxy.cfg and its SPOE file: lines deleted and swapped, conditions widened and turned round,
 * scopes changed, rules added that end, rewrite or forge, the user's own moved below the question, other ways in, other
 * ways on, and another question.
 */
export function mutantsOf(files: Files): readonly Mutant[] {
  const configurations = Object.keys(files).filter((name) => name.endsWith(".cfg"));
  const made = [
    ...configurations.flatMap((file) => mutated(files, file, "line deleted", deletions)),
    ...mutated(files, SPOE, "line deleted", deletions),
    ...configurations.flatMap((file) => mutated(files, file, "rules swapped", swaps)),
    ...configurations.flatMap((file) => mutated(files, file, "condition changed", conditions)),
    ...configurations.flatMap((file) => mutated(files, file, "word replaced", replacements)),
    ...configurations.flatMap((file) => mutated(files, file, "rule added", insertions)),
    ...configurations.flatMap((file) => mutated(files, file, "rule moved", moves)),
    ...configurations.flatMap((file) => mutated(files, file, "way led elsewhere", ways)),
    ...configurations.slice(-1).flatMap((file) => mutated(files, file, "entrance added", entrances)),
    ...mutated(files, SPOE, "question changed", questions),
  ];
  const seen = new Set([textOf(files)]);
  return made.filter(({ files: others }) => {
    const text = textOf(others);
    if (seen.has(text)) return false;
    seen.add(text);
    return true;
  });
}

function textOf(files: Files): string {
  return Object.values(files).join("\0");
}

function mutated(files: Files, file: string, kind: Kind, edit: (text: string) => readonly Edit[]): readonly Mutant[] {
  return edit(files[file] ?? "").map(([name, text]) => ({
    kind,
    name: `${file}: ${name}`,
    files: { ...files, [file]: text },
  }));
}

type Edit = readonly [name: string, text: string];

/** Headers of clients of which nobody here has a say: the contract deletes some sixty. */
const BESIDE = /^ {4}http-request del-header (?!x-auth|l5d|authorization|upgrade|connection)/;
/** Lines that say nothing of the way of a request. */
const SILENT = /^ {4}(?:timeout|log|balance|server agent|bind|user|group|chroot|maxconn|tune|stats|errorfile|daemon)/;

const isSaying = (line: string) => /^ {4}[a-z]/.test(line) && !SILENT.test(line) && !BESIDE.test(line);

function edited(lines: readonly string[], index: number, ...instead: readonly string[]): string {
  return [...lines.slice(0, index), ...instead, ...lines.slice(index + 1)].join("\n");
}

function deletions(text: string): readonly Edit[] {
  const lines = text.split("\n");
  return lines.flatMap((line, index) =>
    isSaying(line) ? [[`delete ${line.trim()}`, edited(lines, index)] as const] : [],
  );
}

function swaps(text: string): readonly Edit[] {
  const lines = text.split("\n");
  const rules = lines.flatMap((line, index) => (/^ {4}http-request/.test(line) && !BESIDE.test(line) ? [index] : []));
  return rules.slice(1).map((index, n) => {
    const above = rules[n] ?? 0;
    const swapped = lines.map((line, at) =>
      at === index ? (lines[above] ?? "") : at === above ? (lines[index] ?? "") : line,
    );
    return [`swap ${lines[above]?.trim()} and ${lines[index]?.trim()}`, swapped.join("\n")];
  });
}

/** Conditions turned round, widened, shortened. */
function conditions(text: string): readonly Edit[] {
  const lines = text.split("\n");
  return lines.flatMap((line, index) => {
    const match = /^( {4}(?:http-request|use_backend).*) (if|unless) (.*)$/.exec(line);
    if (match === null || BESIDE.test(line)) return [];
    const [, head = "", word = "", condition = ""] = match;
    const other = word === "if" ? "unless" : "if";
    const terms = condition.match(/!?\{[^}]*\}|\S+/g) ?? [];
    const to = (what: string, changed: string): Edit => [`${what} of ${line.trim()}`, edited(lines, index, changed)];
    return [
      to("other word", `${head} ${other} ${condition}`),
      to("no condition", head),
      to("an empty condition", `${head} ${word}`),
      to("or TRUE", `${line} or TRUE`),
      ...CONDITIONS.slice(0, 3).map((extra) => to(`or ${extra}`, `${line} or ${extra}`)),
      ...CONDITIONS.slice(0, 3).map((extra) => to(`and ${extra}`, `${line} ${extra}`)),
      ...terms.map((term, n) =>
        to(`without ${term}`, `${head} ${word} ${terms.filter((_, at) => at !== n).join(" ")}`),
      ),
      ...terms
        .filter((term) => term.startsWith("!"))
        .map((term) => to(`${term} turned`, line.replace(` ${term}`, ` ${term.slice(1)}`))),
    ];
  });
}

/** Words of the gate by weaker ones. */
function replacements(text: string): readonly Edit[] {
  const lines = text.split("\n");
  const pairs: readonly (readonly [RegExp, string])[] = [
    [/txn\.countersign\./g, "sess.countersign."],
    [/txn\.countersign_verdict/g, "sess.countersign_verdict"],
    [/-m str allow/g, "-m found"],
    [/-m str allow/g, "-m sub allow"],
    [/-m str allow/g, "-m beg allow"],
    [/-m str allow/g, "-m str -i allow"],
    [/-m str allow/g, "-m str allow deny"],
    [/ eq 0$/g, " ge 0"],
    [/deny deny_status \d+ .* if /g, "return status 200 if "],
    [/http-request deny deny_status \d+ .* if /g, "http-request allow if "],
    [/http-request set-header (x-auth-\S+)/g, "http-request add-header $1"],
    [/%\[var\(txn\.countersign\.header_\d\)\]/g, "%[req.hdr(x-user)]"],
    [/^ {4}mode http$/g, "    mode tcp"],
    [/-m beg$/g, ""],
  ];
  return lines.flatMap((line, index) =>
    pairs.flatMap(([from, to]) => {
      const changed = line.replace(from, to);
      return changed === line || !isSaying(line)
        ? []
        : [[`${to} in ${line.trim()}`, edited(lines, index, changed)] as const];
    }),
  );
}

/** Rules that end, rewrite or forge, above and below question and gate, and in the backend. */
function insertions(text: string): readonly Edit[] {
  const lines = text.split("\n");
  const find = (part: string) => lines.findIndex((line) => line.includes(part));
  const places = {
    first: find("http-request strict-mode on"),
    asked: find("send-spoe-group") + 1,
    gated: find("http-request set-header x-forwarded-for"),
    last: find("    use_backend"),
    backend: lines.findIndex((line) => /^backend orders/.test(line)) + 1,
    frontend: lines.findIndex((line) => /^frontend (?:api|partners|office)/.test(line)) + 1,
    defaults: lines.findLastIndex((line) => /^defaults (?:web-defaults|sites|countersign-defaults)/.test(line)) + 1,
  };
  const rules = [
    ...CONDITIONS.map((condition) => `http-request allow if ${condition}`),
    "http-request set-var(txn.countersign_verdict) str(allow) if { url_param(debug) 1 }",
    "http-request set-var(txn.countersign.verdict) str(allow)",
    "http-request set-var-fmt(txn.countersign.id) %[var(txn.countersign_id)]",
    "http-request set-header x-debug %[req.hdr(x-verdict),set-var(txn.countersign_verdict)]",
    "http-request unset-var(txn.countersign.error)",
    "http-request set-path /secret if { path_beg /public }",
    "http-request set-method POST",
    "http-request replace-uri (.*) /secret",
    "http-request set-header host secret.example",
    "http-request set-header x-auth-subject %[req.hdr(x-user)] if { req.hdr(x-user) -m found }",
    "http-request add-header x-auth-subject admin-%[req.hdr(x-user)]",
    "acl countersign_allowed path_beg /public",
    "acl countersign_bound path_beg /public",
    "option forwardfor header x-auth-subject",
    "unique-id-header x-auth-subject",
    "http-send-name-header x-auth-subject",
    "http-send-name-header host",
    "http-request set-src req.hdr_ip(x-user)",
  ];
  return Object.entries(places).flatMap(([place, at]) =>
    at <= 0
      ? []
      : rules.map(
          (rule) =>
            [`${place}: ${rule}`, [...lines.slice(0, at), `    ${rule}`, ...lines.slice(at)].join("\n")] as const,
        ),
  );
}

/** Rules of the user's own above the question, moved below it and below the gate; and the other way round. */
function moves(text: string): readonly Edit[] {
  const lines = text.split("\n");
  const begin = lines.findIndex((line) => line.includes("rules begin"));
  const asked = lines.findIndex((line) => line.includes("send-spoe-group"));
  const end = lines.findIndex((line, index) => index > asked && /^ {4}use_backend/.test(line));
  if (begin < 0 || asked < 0 || end < 0) return [];
  const head = lines.findLastIndex((line, index) => index < begin && /^\S/.test(line));
  const rules = lines.flatMap((line, index) =>
    index > head && index < end && /^ {4}(?:http-request|use_backend)/.test(line) && !BESIDE.test(line) ? [index] : [],
  );
  const to = (index: number, place: number) =>
    lines.flatMap((line, at) => (at === index ? [] : at === place ? [lines[index] ?? "", line] : [line])).join("\n");
  const edits = (what: string, some: readonly number[], place: number) =>
    some.map((index) => [`${what}: ${lines[index]?.trim()}`, to(index, place)] as const);
  const own = rules.filter((index) => index < begin);
  return [
    ...edits("to below the question", own, asked + 1),
    ...edits("to the end", own, end),
    ...edits(
      "to the beginning",
      rules.filter((index) => index > begin),
      begin,
    ),
    ...edits(
      "to the end",
      rules.filter((index) => index > begin && index <= asked),
      end,
    ),
  ];
}

/** Lines of the user's own that lead to a judged server instead. */
function ways(text: string): readonly Edit[] {
  const lines = text.split("\n");
  const pairs: readonly (readonly [RegExp, string])[] = [
    [/^( {4}use_backend )[a-z]\S*/, "$1orders"],
    [/^( {4}default_backend )\S+/, "$1orders"],
    [/^( {4}server \S+ )127\.0\.0\.1:22\d+(?: .*)?/, `$1127.0.0.1:${SERVER}`],
    [/^( {4}server \S+ )127\.0\.0\.1:22\d+(?: .*)?/, `$1localhost:${SERVER}`],
    [/^( {4}use_backend )[a-z]\S*( .*)?$/, "$1%[req.hdr(x-user),map_str(/etc/haproxy/campaigns.map,orders)]$2"],
    [/^( {4}default_backend )\S+/, "$1%[str(orders)]"],
  ];
  return lines.flatMap((line, index) =>
    pairs.flatMap(([from, to]) =>
      from.test(line)
        ? [[`${line.trim()} to ${to.trim()}`, edited(lines, index, line.replace(from, to))] as const]
        : [],
    ),
  );
}

/** Other ways to the same server. */
function entrances(text: string): readonly Edit[] {
  const bind = `    bind 127.0.0.1:${OTHER}\n`;
  const section = (kind: string, body: string) => `\n${kind} second from countersign-defaults\n${bind}${body}\n`;
  const added: Readonly<Record<string, string>> = {
    "a frontend": section("frontend", "    default_backend orders"),
    "a listen": section("listen", `    server a 127.0.0.1:${SERVER}`),
    "a listen by another spelling": section("listen", `    server a 127.1:${SERVER}`),
    "a TCP listen": section("listen", `    mode tcp\n    server a localhost:${SERVER}`),
    "the client's destination": section(
      "listen",
      `    http-request set-dst str(127.0.0.1)\n    http-request set-dst-port int(${SERVER})\n    server a 0.0.0.0:0`,
    ),
    "a chain over a socket": `${section("listen", "    mode tcp\n    server a unix@/etc/haproxy/inner.sock")}
frontend inner from countersign-defaults
    bind unix@/etc/haproxy/inner.sock
    default_backend orders
`,
  };
  return [
    ...Object.entries(added).map(([name, more]) => [`another way in: ${name}`, text + more] as const),
    ["a default_backend", text.replace(/^( {4}use_backend %.*)$/m, "$1\n    default_backend orders")],
    ["a bind more", text.replace(/^( {4}bind .*)$/m, `$1\n${bind}`)],
  ];
}

function questions(spoe: string): readonly Edit[] {
  const pairs: readonly (readonly [RegExp, string])[] = [
    [/path=path/, "path=str(/v1/orders)"],
    [/path=path/, "path=req.fhdr(x-path)"],
    [/host=req\.fhdr\(host\)/, "host=req.hdr(host)"],
    [/host=req\.fhdr\(host\)/, "host=str(orders.example.com)"],
    [/method=method/, "method=str(GET)"],
    [/authorization=req\.fhdr\(authorization\)/, "authorization=str(good)"],
    [/option var-prefix countersign/, "option var-prefix other"],
    [/groups authorize/, "messages authorize"],
    [/( {4}option set-on-error error\n)/, "$1    maxerrrate 1\n"],
    [/( {4}option set-on-error error\n)/, "$1    option continue-on-error\n"],
    [/(spoe-message authorize\n)/, "$1    event on-frontend-http-request\n"],
  ];
  return pairs.map(([from, to]) => [`${from.source} to ${to.trim()}`, spoe.replace(from, to)]);
}
