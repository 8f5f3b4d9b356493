import { type Sample, sampleOf } from "./samples.ts";
import type { Section } from "./sections.ts";
import { isUnknown, type Statement, texts } from "./where.ts";

/** One alternative of an ACL: a sample that is compared with patterns. */
export interface Test {
  readonly sample: Sample;
  /** `str`, `beg`, `found`, …; undefined for what the sample's own type says. */
  readonly match: string | undefined;
  readonly flags: readonly string[];
  readonly patterns: readonly string[];
  /** Patterns come from a file too, which the Runtime API can change. */
  readonly file: boolean;
  /** The `acl` line, or the rule that it stands in. */
  readonly statement: Statement;
}

/** A term of a condition: all alternatives of one ACL, maybe negated. */
export interface Term {
  readonly negated: boolean;
  readonly tests: readonly Test[];
  /** As it is written. */
  readonly text: string;
}

/** A condition: alternatives of terms that must all hold. */
export interface Condition {
  readonly negated: boolean;
  readonly clauses: readonly (readonly Term[])[];
}

/** A condition that HAProxy refuses, or that nobody but the deployment knows. */
export class NotUnderstood extends Error {
  override readonly name = "NotUnderstood";
}

/** `path_beg` is `path -m beg`. */
const SHORTHAND = /^(base|cook|hdr|path|scook|shdr|ssl_fc_sni|url|urlp)_(beg|dir|dom|end|len|reg|sub)$/;
const RENAMED: Readonly<Record<string, string>> = {
  hdr: "req.hdr",
  cook: "req.cook",
  hdr_cnt: "req.hdr_cnt",
  cook_cnt: "req.cook_cnt",
  url_param: "urlp",
  hdr_ip: "req.hdr_ip",
  hdr_val: "req.hdr_val",
  http_first_req: "http_first_req",
};
const PREDEFINED: Readonly<Record<string, readonly string[]>> = {
  TRUE: ["always_true"],
  FALSE: ["always_false"],
  LOCALHOST: ["src", "127.0.0.0/8", "::1"],
  HTTP: ["req.proto_http"],
  "HTTP_1.0": ["req.ver", "1.0"],
  "HTTP_1.1": ["req.ver", "1.1"],
  "HTTP_2.0": ["req.ver", "2.0"],
  "HTTP_3.0": ["req.ver", "3.0"],
  METH_CONNECT: ["method", "CONNECT"],
  METH_DELETE: ["method", "DELETE"],
  METH_GET: ["method", "GET", "HEAD"],
  METH_HEAD: ["method", "HEAD"],
  METH_OPTIONS: ["method", "OPTIONS"],
  METH_POST: ["method", "POST"],
  METH_PUT: ["method", "PUT"],
  METH_TRACE: ["method", "TRACE"],
  HTTP_URL_ABS: ["url", "-m", "reg", "^[^/:]*://"],
  HTTP_URL_SLASH: ["url_beg", "/"],
  HTTP_URL_STAR: ["url", "*"],
  HTTP_CONTENT: ["req.hdr_val(content-length)", "gt", "0"],
  RDP_COOKIE: ["req.rdp_cookie_cnt", "gt", "0"],
  REQ_CONTENT: ["req.len", "gt", "0"],
  WAIT_END: ["wait_end"],
};
const FLAGS_WITH_VALUE: ReadonlySet<string> = new Set(["-m", "-f", "-u"]);

/** The words of an ACL after its name. @throws NotUnderstood */
export function testOf(words: readonly string[], statement: Statement): Test {
  const [first = "", ...rest] = words;
  const read = sampleOf(first);
  if (read === undefined || words.some(isUnknown)) throw new NotUnderstood("an ACL that cannot be read");
  const [fetch, ...converters] = read.calls;
  const shorthand = SHORTHAND.exec(fetch?.name ?? "");
  const name = shorthand?.[1] ?? fetch?.name ?? "";
  const calls = [{ name: RENAMED[name] ?? name, values: fetch?.values ?? [] }, ...converters];
  const { flags, values, patterns } = flagsOf(rest);
  return {
    sample: { text: calls.map(callText).join(","), calls },
    match: values.get("-m") ?? shorthand?.[2],
    flags,
    patterns,
    file: values.has("-f") || flags.includes("-M") || values.has("-u"),
    statement,
  };
}

function callText({ name, values }: { readonly name: string; readonly values: readonly string[] }): string {
  return values.length === 0 ? name : `${name}(${values.join(",")})`;
}

function flagsOf(words: readonly string[]) {
  const flags: string[] = [];
  const values = new Map<string, string>();
  let index = 0;
  for (; index < words.length; index++) {
    const word = words[index] ?? "";
    if (word === "--") {
      index++;
      break;
    }
    if (!/^-[a-zA-Z]$/.test(word)) break;
    if (FLAGS_WITH_VALUE.has(word)) values.set(word, words[++index] ?? "");
    else flags.push(word);
  }
  return { flags, values, patterns: words.slice(index) };
}

/** The words from the first `if` or `unless` on. */
function condition(statement: Statement): readonly string[] {
  const words = texts(statement);
  const start = words.findIndex((word) => word === "if" || word === "unless");
  return start < 0 ? [] : words.slice(start + 1);
}

const READ = new WeakMap<Section, Acls>();

/** The ACLs of a section, read once. */
export function aclsOf(section: Section): Acls {
  const acls = READ.get(section) ?? new Acls(section);
  READ.set(section, acls);
  return acls;
}

/** The ACLs of one section, by name: all lines of a name are alternatives, wherever in the section they stand. */
export class Acls {
  readonly #lines = new Map<string, Statement[]>();
  /** Predefined ones that a rule uses above the first line of their name: that line then only adds to them. */
  readonly #widened = new Set<string>();

  constructor({ statements }: Section) {
    for (const statement of statements) {
      const [keyword, name = ""] = texts(statement);
      if (keyword === "acl") this.#lines.set(name, [...(this.#lines.get(name) ?? []), statement]);
      else for (const word of condition(statement)) this.#use(word.replace(/^!+/, ""));
    }
  }

  #use(name: string): void {
    if (Object.hasOwn(PREDEFINED, name) && !this.#lines.has(name)) this.#widened.add(name);
  }

  /** @throws NotUnderstood */
  named(name: string, user: Statement): readonly Test[] {
    const lines = this.#lines.get(name) ?? [];
    const own = lines.map((line) => testOf(texts(line, 2), line));
    const words = Object.hasOwn(PREDEFINED, name) ? PREDEFINED[name] : undefined;
    if (words === undefined && own.length === 0) throw new NotUnderstood(`no ACL "${name}" in this section`);
    const kept = words !== undefined && (own.length === 0 || this.#widened.has(name));
    return [...(kept ? [testOf(words, user)] : []), ...own];
  }
}

/**
 * Reads the condition of a rule, from its `if` or `unless` on.
 *
 * @throws NotUnderstood
 */
export function conditionOf(words: readonly string[], acls: Acls, statement: Statement): Condition {
  const clauses: Term[][] = [[]];
  for (let index = 1; index < words.length; index++) {
    let word = words[index] ?? "";
    if (isUnknown(word)) throw new NotUnderstood("a condition that a variable of the deployment makes");
    if (word.toLowerCase() === "or" || word === "||") {
      clauses.push([]);
      continue;
    }
    const start = index;
    let negated = false;
    for (; word.startsWith("!"); word = word === "!" ? (words[++index] ?? "") : word.slice(1)) negated = !negated;
    if (word === "") continue;
    let tests: readonly Test[];
    if (word === "{") {
      const end = words.indexOf("}", index);
      if (end < 0) throw new NotUnderstood("{ without }");
      tests = [testOf(words.slice(index + 1, end), statement)];
      index = end;
    } else tests = acls.named(word, statement);
    clauses.at(-1)?.push({ negated, tests, text: words.slice(start, index + 1).join(" ") });
  }
  return { negated: words[0] === "unless", clauses: clauses.filter((terms) => terms.length > 0) };
}
