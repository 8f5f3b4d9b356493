import { type Acls, aclsOf } from "./acls.ts";
import { type Address, addressesOf } from "./addresses.ts";
import { isProxy, type Section } from "./sections.ts";
import { at, type Place, type Statement, texts } from "./where.ts";

/** A rule, and the ACLs that its condition names. */
export interface Rule {
  readonly statement: Statement;
  readonly acls: Acls;
}

export interface Bind {
  readonly statement: Statement;
  readonly addresses: readonly Address[];
}

export interface Server {
  readonly name: string;
  readonly statement: Statement;
  readonly address: Address | undefined;
}

/** A frontend, backend or listen, with what it inherits. */
export interface ProxySection {
  readonly kind: string;
  readonly name: string;
  readonly section: Section;
  readonly place: Place;
  readonly binds: readonly Bind[];
  readonly servers: readonly Server[];
  /** Lines that it inherits, then its own. */
  readonly statements: readonly Statement[];
}

/** What a `defaults` cannot hand on. */
const OWN: ReadonlySet<string> = new Set(["acl", "http-request", "tcp-request"]);

export function proxiesOf(sections: readonly Section[]): readonly ProxySection[] {
  return sections.filter(isProxy).map((section) => {
    const own = section.statements;
    const statements = [...inherited(section.defaults).filter(({ words }) => !OWN.has(words[0]?.text ?? "")), ...own];
    return {
      kind: section.kind,
      name: section.name,
      section,
      place: at(section.head, 0),
      binds: section.kind === "backend" ? [] : own.filter(isWord("bind")).map(bindOf),
      servers: section.kind === "frontend" ? [] : statements.filter(isServer).map(serverOf),
      statements,
    };
  });
}

function inherited(defaults: Section | undefined): readonly Statement[] {
  return defaults === undefined ? [] : [...inherited(defaults.defaults), ...defaults.statements];
}

function isWord(word: string): (statement: Statement) => boolean {
  return ({ words }) => words[0]?.text === word;
}

/** `option transparent` and `option http_proxy` go wherever the client says. */
function isServer({ words }: Statement): boolean {
  const [first = "", second = ""] = words.map(({ text }) => text);
  return ["server", "server-template", "dispatch"].includes(first) || (first === "option" && WILD.has(second));
}

const WILD: ReadonlySet<string> = new Set(["transparent", "http_proxy"]);

function bindOf(statement: Statement): Bind {
  return { statement, addresses: addressesOf(texts(statement)[1] ?? "") };
}

function serverOf(statement: Statement): Server {
  const words = texts(statement);
  if (words[0] === "option") return { name: "", statement, address: addressesOf("*")[0] };
  const at = ADDRESS_AT[words[0] ?? ""] ?? 1;
  return { name: words[at - 1] ?? "", statement, address: addressesOf(words[at] ?? "")[0] };
}

/** Index of the address in lines that have one; what stands behind it are options. */
export const ADDRESS_AT: Readonly<Record<string, number>> = {
  bind: 1,
  dispatch: 1,
  server: 2,
  "server-template": 3,
};

/** The words of a `server` or `default-server` line that are neither its name nor its address. */
export function optionsOf(statement: Statement): readonly string[] {
  return texts(statement, (ADDRESS_AT[statement.words[0]?.text ?? ""] ?? 0) + 1);
}

/** The rules of one kind in the order in which a request meets them: those of the `defaults` first. */
export function rulesOf({ section }: ProxySection, ...keyword: readonly string[]): readonly Rule[] {
  const from = (part: Section): readonly Rule[] => {
    const acls = aclsOf(part);
    const matches = ({ words }: Statement) => keyword.every((word, index) => words[index]?.text === word);
    return part.statements.filter(matches).map((statement) => ({ statement, acls }));
  };
  const { defaults } = section;
  return [...(defaults === undefined ? [] : from(defaults)), ...from(section)];
}

/** The last line of this keyword that counts. */
export function lastOf({ statements }: ProxySection, keyword: string): Statement | undefined {
  return statements.findLast(isWord(keyword));
}

const OPTIONS = new WeakMap<ProxySection, readonly Statement[]>();

/** The line that switches the option on; undefined where it is off. */
export function optionOf(proxy: ProxySection, ...names: readonly string[]): Statement | undefined {
  const lines = OPTIONS.get(proxy) ?? proxy.statements.filter(({ words }) => SWITCHES.has(words[0]?.text ?? ""));
  OPTIONS.set(proxy, lines);
  let found: Statement | undefined;
  for (const statement of lines) {
    const [first, second, third] = texts(statement);
    if (first === "option" && names.includes(second ?? "")) found = statement;
    if (first !== "option" && second === "option" && names.includes(third ?? "")) found = undefined;
  }
  return found;
}

const SWITCHES: ReadonlySet<string> = new Set(["option", "no", "default"]);

/** `tcp` where no line says otherwise. */
export function modeOf(proxy: ProxySection): { readonly mode: string; readonly statement: Statement | undefined } {
  const statement = lastOf(proxy, "mode");
  return { mode: statement?.words[1]?.text ?? "tcp", statement };
}
