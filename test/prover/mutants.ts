/** The files of one HAProxy: haproxy.cfg and its SPOE file. */
export type Files = Readonly<Record<string, string>>;

/** One weakening of a configuration. */
export interface Mutant {
  readonly name: string;
  readonly files: Files;
}

const CFG = "haproxy.cfg";
const SPOE = "countersign.spoe.conf";

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
 * Single weakenings of generated files: lines deleted and swapped, conditions widened and turned round, scopes changed,
 * rules added that end, rewrite or forge, other ways in, and another question.
 *
 * @param ports free ones for other ways in; the backend's
 */
export function mutantsOf(
  files: Files,
  ports: { readonly other: number; readonly backend: number },
): readonly Mutant[] {
  const cfg = files[CFG] ?? "";
  const spoe = files[SPOE] ?? "";
  const inCfg = (name: string, text: string): Mutant => ({ name, files: { ...files, [CFG]: text } });
  const inSpoe = (name: string, text: string): Mutant => ({ name: `spoe: ${name}`, files: { ...files, [SPOE]: text } });
  const made = [
    ...deletions(cfg).map(([name, text]) => inCfg(name, text)),
    ...deletions(spoe).map(([name, text]) => inSpoe(name, text)),
    ...swaps(cfg).map(([name, text]) => inCfg(name, text)),
    ...conditions(cfg).map(([name, text]) => inCfg(name, text)),
    ...replacements(cfg).map(([name, text]) => inCfg(name, text)),
    ...insertions(cfg).map(([name, text]) => inCfg(name, text)),
    ...entrances(cfg, ports).map(([name, text]) => inCfg(name, text)),
    ...questions(spoe).map(([name, text]) => inSpoe(name, text)),
  ];
  const original = `${cfg}${spoe}`;
  const seen = new Set<string>([original]);
  return made.filter(({ files: mutated }) => {
    const text = `${mutated[CFG]}${mutated[SPOE]}`;
    if (seen.has(text)) return false;
    seen.add(text);
    return true;
  });
}

type Edit = readonly [name: string, text: string];

const isSaying = (line: string) =>
  /^ {4}[a-z]/.test(line) && !/^ {4}(?:timeout|log|balance|server agent|bind)/.test(line);

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
  const rules = lines.flatMap((line, index) => (/^ {4}http-request/.test(line) ? [index] : []));
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
    if (match === null) return [];
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
    gated: find("http-request set-header x-request-id"),
    last: find("    use_backend"),
    backend: lines.findIndex((line) => /^backend orders/.test(line)) + 1,
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

/** Other ways to the same server. */
function entrances(
  text: string,
  { other, backend }: { readonly other: number; readonly backend: number },
): readonly Edit[] {
  const bind = `    bind 127.0.0.1:${other}\n`;
  const section = (kind: string, body: string) => `\n${kind} second from countersign-defaults\n${bind}${body}\n`;
  const ways: Readonly<Record<string, string>> = {
    "a frontend": section("frontend", "    default_backend orders"),
    "a listen": section("listen", `    server a 127.0.0.1:${backend}`),
    "a listen by another spelling": section("listen", `    server a 127.1:${backend}`),
    "a TCP listen": section("listen", `    mode tcp\n    server a localhost:${backend}`),
    "the client's destination": section(
      "listen",
      `    http-request set-dst str(127.0.0.1)\n    http-request set-dst-port int(${backend})\n    server a 0.0.0.0:0`,
    ),
  };
  return [
    ...Object.entries(ways).map(([name, more]) => [`another way in: ${name}`, text + more] as const),
    ["a default_backend", text.replace(/^( {4}use_backend .*)$/m, "$1\n    default_backend orders")],
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
