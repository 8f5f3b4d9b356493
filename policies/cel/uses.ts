import type { ASTNode, TypeDeclaration } from "@marcbachmann/cel-js";
import { childrenOf } from "./admit.ts";
import { ExpressionFault, rightName } from "./fault.ts";
import { FIELDS } from "./language.ts";

/** What an expression reads that HAProxy must send, or the route's pattern must capture. */
export interface ExpressionUses {
  readonly query: boolean;
  /** Lower-case names, sorted. */
  readonly headers: readonly string[];
  /** Names of captures, sorted. */
  readonly params: readonly string[];
  readonly principal: boolean;
  /** Names of claims, sorted; `*` where one is only known for each request. */
  readonly claims: readonly string[];
  /** Anything of the request: else the same principal always has the same value. */
  readonly request: boolean;
}

/**
 * What an expression reads that was type-checked, with whatever result. Faults are those of names, which the checker
 * does not see in `has` and tells badly elsewhere, of headers and captures that cannot be told before there is a request,
 * and of arithmetic that the library gets wrong.
 *
 * @param secret lower-case names of the request headers that hold credentials. What proves who somebody is stays with the
 *   agent: a header made of it would give it to a backend
 * @throws {ExpressionFault}
 */
export function usesOf(ast: ASTNode, secret: readonly string[]): ExpressionUses {
  const uses = new Uses(secret);
  uses.visit(ast);
  const sorted = (names: ReadonlySet<string>) => [...names].sort();
  const { query, principal, request } = uses;
  return {
    query,
    principal,
    request,
    headers: sorted(uses.headers),
    params: sorted(uses.params),
    claims: sorted(uses.claims),
  };
}

class Uses {
  query = false;
  principal = false;
  request = false;
  readonly headers = new Set<string>();
  readonly params = new Set<string>();
  readonly claims = new Set<string>();
  readonly #secret: readonly string[];

  constructor(secret: readonly string[]) {
    this.#secret = secret;
  }

  visit(node: ASTNode): void {
    const entry = entryOf(node);
    const field = rootFieldOf(node);
    const claim = claimOf(node);
    if (claim !== undefined) {
      this.principal = true;
      this.claims.add(claim);
    } else if (entry !== undefined) this.#entry(entry, node);
    else if (field !== undefined) this.#field(field, node);
    else {
      mustBeTold(node);
      for (const child of childrenOf(node)) this.visit(child);
    }
  }

  /** A field of `request` or `principal` that is not one entry of a map. */
  #field(field: string, node: ASTNode): void {
    const [root = "", name = ""] = field.split(".");
    mustBeFieldOf(root, name, node);
    if (field === "request.headers" || field === "request.params") {
      throw new ExpressionFault(
        node,
        `\`${field}\` as a whole`,
        `one entry by its name, such as \`${EXAMPLES[field]}\``,
      );
    }
    if (root === "principal") this.principal = true;
    else this.request = true;
    if (field === "principal.claims") this.claims.add("*");
    if (field === "request.query") this.query = true;
  }

  #entry({ map, key }: Entry, node: ASTNode): void {
    const at = typeof key === "string" ? node : key;
    const name = typeof key === "string" ? key : key.op === "value" ? key.args : undefined;
    if (typeof name !== "string") {
      throw new ExpressionFault(at, `an entry of \`${map}\` that is only known for each request`, "a name written out");
    }
    // The library tells a map by its `constructor`.
    if (name === "constructor") throw new ExpressionFault(at, `\`${map}\` with the name constructor`, "another name");
    this.request = true;
    if (map === "request.params") this.params.add(name);
    else this.headers.add(headerName(name, this.#secret, at));
  }
}

const EXAMPLES: Readonly<Record<string, string>> = {
  request: "request.path",
  principal: "principal.subject",
  "request.headers": 'request.headers["x-tenant"]',
  "request.params": "request.params.id",
};

function isRoot(name: string): name is "request" | "principal" {
  return name === "request" || name === "principal";
}

/** `request.name` or `principal.name` where a node is just that. */
function rootFieldOf(node: ASTNode): string | undefined {
  if (node.op !== "." || node.args[0].op !== "id" || !isRoot(node.args[0].args)) return undefined;
  return `${node.args[0].args}.${node.args[1]}`;
}

interface Entry {
  readonly map: "request.headers" | "request.params";
  readonly key: ASTNode | string;
}

/** What `map.key`, `map["key"]` and `"key" in map` read of the headers or captures. */
function entryOf(node: ASTNode): Entry | undefined {
  if (node.op !== "." && node.op !== "[]" && node.op !== "in") return undefined;
  const [left, right] = node.args;
  const [of, key] = node.op === "in" ? [node.args[1], left] : [left, right];
  const map = rootFieldOf(of);
  return map === "request.headers" || map === "request.params" ? { map, key } : undefined;
}

/** The claim that a node reads or asks for by a name written out: `principal.claims.name`, `["name"]`, `"name" in`. */
function claimOf(node: ASTNode): string | undefined {
  if (node.op !== "." && node.op !== "[]" && node.op !== "in") return undefined;
  const [left, right] = node.args;
  const [of, key] = node.op === "in" ? [node.args[1], left] : [left, right];
  if (rootFieldOf(of) !== "principal.claims") return undefined;
  const name = typeof key === "string" ? key : key.op === "value" ? key.args : undefined;
  return typeof name === "string" ? name : undefined;
}

/** What the type checker lets pass. */
function mustBeTold(node: ASTNode): void {
  if (node.op === "id" && isRoot(node.args)) {
    const example = EXAMPLES[node.args];
    throw new ExpressionFault(node, `\`${node.args}\` as a whole`, `one of its fields, such as \`${example}\``);
  }
  if (node.op === ".") mustHaveField(node.args[0], node.args[1], node);
  if (node.op === "+" || node.op === "-") mustNotBeDuration(node.args[0]);
  if (node.op === "[]" && typeOf(node.args[0])?.kind === "message") {
    throw new ExpressionFault(node, "a field in brackets", "`.name` to read a field");
  }
}

function headerName(name: string, secret: readonly string[], node: ASTNode): string {
  if (secret.includes(name)) {
    throw new ExpressionFault(node, `the header \`${name}\`, which holds a credential`, "what it proves: `principal`");
  }
  if (/^[a-z0-9-]{1,64}$/.test(name)) return name;
  throw new ExpressionFault(
    node,
    `the header name ${JSON.stringify(name)}`,
    "lower-case letters, digits and `-` only, at most 64",
  );
}

/** What is behind a dot must be a field, or an entry of a map. */
function mustHaveField(left: ASTNode, name: string, node: ASTNode): void {
  const type = typeOf(left);
  if (type === undefined || type.kind === "map" || type.kind === "dyn") return;
  if (FIELDS[type.name] !== undefined) mustBeFieldOf(type.name, name, node);
  else
    throw new ExpressionFault(node, `a field \`${name}\` of a value of type ${type.name}`, "nothing: it has no fields");
}

function mustBeFieldOf(type: string, name: string, node: ASTNode): void {
  const fields = Object.keys(FIELDS[type] ?? {});
  if (!fields.includes(name))
    throw new ExpressionFault(node, `no field \`${name}\` of \`${type}\``, rightName(name, fields));
}

/** The library miscounts sums of durations below zero, and takes `duration + timestamp` for a duration. */
function mustNotBeDuration(left: ASTNode): void {
  if (typeOf(left)?.name !== "google.protobuf.Duration") return;
  throw new ExpressionFault(left, "arithmetic with a duration on the left", "a timestamp on the left, or one duration");
}

/** What the type checker found, and what it leaves out within `has`. */
function typeOf(node: ASTNode): Pick<TypeDeclaration, "kind" | "name"> | undefined {
  const { checkedType } = node as ASTNode & { readonly checkedType?: TypeDeclaration };
  if (checkedType !== undefined) return checkedType;
  if (entryOf(node) !== undefined) return { name: "string", kind: "primitive" };
  const [root = "", field = ""] = rootFieldOf(node)?.split(".") ?? [];
  const name = FIELDS[root]?.[field];
  return name === undefined ? undefined : { name, kind: name.startsWith("map<") ? "map" : "primitive" };
}
