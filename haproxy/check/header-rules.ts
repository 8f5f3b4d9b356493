/** What a rule does to request headers. */
export interface HeaderRule {
  /** In lower case; as it is written where it is a regular expression, which heeds the case. */
  readonly name: string;
  /** Whether it names one header, and does not match several. */
  readonly exact: boolean;
  readonly method: string;
  readonly deletes: boolean;
  /** Whether what was there before is gone. */
  readonly replaces: boolean;
  /** The texts that it writes. */
  readonly values: readonly string[];
}

/** Reads the words of `set-header`, `add-header`, `del-header` and their kin. */
export function headerRuleOf([action = "", name = "", ...rest]: readonly string[]): HeaderRule {
  const deletes = action.startsWith("del-");
  const many = action.endsWith("-bin");
  const method = deletes && rest[0] === "-m" ? (rest[1] ?? "str") : many ? "any" : "str";
  return {
    name: method === "reg" ? name : name.toLowerCase(),
    exact: method === "str",
    method,
    deletes,
    replaces: deletes ? !many : action === "set-header",
    values: deletes ? [] : many ? ["%[req.hdrs]"] : rest.slice(-1),
  };
}

/** Whether the rule is about this header; a name that ends in `*` is all headers that begin so. */
export function headerMatches(rule: HeaderRule, header: string): boolean {
  const { name, method } = rule;
  if (method === "any") return true;
  if (method === "reg") return PLAIN.test(name) && expressionMatches(name, header);
  if (header.endsWith("*"))
    return (method === "beg" && header.slice(0, -1).startsWith(name)) || (method === "sub" && header.includes(name));
  if (method === "beg") return header.startsWith(name);
  if (method === "end") return header.endsWith(name);
  return method === "sub" ? header.includes(name) : header === name;
}

/** Of regular expressions only what means the same to whatever library HAProxy was built with. */
const PLAIN = /^(?:[A-Za-z0-9_^$.*+?()|-]|\[[A-Za-z0-9^-]+\])*$/;
/** All headers that begin so, or that have it somewhere. */
const OPEN = /^(\^?)([A-Za-z0-9_-]+)(?:\.\*\$?)?$/;

/** Names are in lower case when HAProxy compares them. */
function expressionMatches(expression: string, header: string): boolean {
  const [, anchor, text = ""] = OPEN.exec(expression) ?? [];
  if (header.endsWith("*"))
    return anchor === "^" ? header.slice(0, -1).startsWith(text) : text !== "" && header.includes(text);
  try {
    return new RegExp(expression).test(header);
  } catch {
    return false;
  }
}

/** Whether the header is one of these names, of which some end in `*`. */
export function isAmong(header: string, names: Iterable<string>): boolean {
  return [...names].some((name) => (name.endsWith("*") ? header.startsWith(name.slice(0, -1)) : header === name));
}
