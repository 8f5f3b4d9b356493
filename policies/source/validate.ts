import type { ErrorObject } from "ajv";
import type { Fault } from "../fault.ts";
import type { Path, SourceDocument } from "./document.ts";
import { isLater, knownKeys, resolved, rightOf, type Schema, schemaAt } from "./schema.ts";
import { validatorOf } from "./validator.ts";

const LONGEST_SHOWN = 60;
const LONGEST_COMPARED = 64;
/** A fault with where in the document's value it is. */
export interface SchemaFault extends Fault {
  readonly path: Path;
  /** Only a key too many, which nothing was meant to be: what is left without it is sound. */
  readonly surplus: boolean;
}

/**
 * Holds a document against a JSON Schema (draft 7): one fault for each mistake, in the order of the file.
 *
 * What would be right is said in the words of the schema's `description` and `examples`. A property whose schema is
 * `{ "not": {} }` is one that a later version will have; so is a value that a `not` of its own refuses.
 */
export function schemaFaults(document: SourceDocument, schema: object): readonly SchemaFault[] {
  const validate = validatorOf(schema);
  if (validate(roundedIn(document.value))) return [];
  // What will come later is no misspelling, whatever else the schema has against it.
  const errors = (validate.errors ?? []).toSorted((a, b) => Number(b.keyword === "not") - Number(a.keyword === "not"));
  const misspelt = misspeltKeys(errors, document, schema);
  const faults = new Map<string, SchemaFault>();
  for (const error of errors) {
    // One value has one mistake; a mapping can have several, each of another key.
    const { propertyName, params, instancePath, keyword } = error;
    const about = `${instancePath}/${propertyName ?? params.additionalProperty ?? params.missingProperty ?? ""}`;
    if (
      FOLLOWING.has(keyword) ||
      isOtherWay(error, document, schema) ||
      (keyword === "required" && misspelt.has(about)) ||
      faults.has(about)
    )
      continue;
    const path = pathOf(instancePath, document.value);
    const key: string | undefined = params.additionalProperty;
    const surplus = key !== undefined && nearest(key, knownKeys(schemaAt(schema, path, document.value))) === undefined;
    faults.set(about, { ...faultOf(error, document, schema), path: surplus ? [...path, key] : path, surplus });
  }
  return [...faults.values()].sort((a, b) => a.line - b.line || a.column - b.column);
}

/** What only follows from an error of its own. */
const FOLLOWING: ReadonlySet<string> = new Set(["propertyNames", "if", "anyOf"]);

/** Whether it is an error of one of several ways, of which the last is the one that is told. */
function isOtherWay({ schemaPath, instancePath }: ErrorObject, document: SourceDocument, root: Schema): boolean {
  const [, way] = /\/anyOf\/(\d+)\//.exec(schemaPath) ?? [];
  if (way === undefined) return false;
  const { anyOf = [] } = schemaAt(root, pathOf(instancePath, document.value), document.value);
  return Number(way) < anyOf.length - 1;
}

/** A copy with doubles for bigints, which JSON Schema knows nothing of: for its types and ranges they do. */
function roundedIn(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(roundedIn);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, roundedIn(member)]));
}

/** What unknown keys were meant to be: that such a key is missing is the same mistake. */
function misspeltKeys(errors: readonly ErrorObject[], document: SourceDocument, root: Schema): ReadonlySet<string> {
  const unknown = errors.filter(({ keyword }) => keyword === "additionalProperties");
  return new Set(
    unknown.map(({ instancePath, params }) => {
      const known = knownKeys(schemaAt(root, pathOf(instancePath, document.value), document.value));
      return `${instancePath}/${nearest(params.additionalProperty, known) ?? ""}`;
    }),
  );
}

function faultOf(error: ErrorObject, document: SourceDocument, root: Schema): Fault {
  const { keyword, params, propertyName, instancePath } = error;
  const path = pathOf(instancePath, document.value);
  const schema = schemaAt(root, path, document.value);
  if (propertyName !== undefined) {
    const right = rightOf(resolved(schema.propertyNames ?? {}, root));
    return document.keyFault([...path, propertyName], `the key ${JSON.stringify(propertyName)}`, right);
  }
  if (keyword === "additionalProperties") return unknownKey(path, params.additionalProperty, schema, document);
  if (keyword === "required") {
    const key: string = params.missingProperty;
    return document.keyFault(path, `no "${key}" here`, rightOf(schemaAt(root, [...path, key], document.value)));
  }
  if (isLater(schema))
    return document.keyFault(path, `"${path.at(-1)}" is not in this version`, schema.description ?? "leave it out");
  return valueFault(error, path, schema, document);
}

function unknownKey(path: Path, key: string, schema: Schema, document: SourceDocument): Fault {
  const known = knownKeys(schema);
  const close = nearest(key, known);
  const meant = close === undefined ? "" : `did you mean "${close}"? `;
  return document.keyFault(
    [...path, key],
    `unknown key ${JSON.stringify(key)}`,
    `${meant}Known keys: ${known.join(", ")}`,
  );
}

/** What there can be too much of, by JSON Schema's keyword. */
const TOO_MUCH = new Map([
  ["maxItems", ["too long a list", "items"]],
  ["maxLength", ["too long a text", "characters"]],
  ["maxProperties", ["too many keys", "keys"]],
]);

function valueFault({ keyword, params }: ErrorObject, path: Path, schema: Schema, document: SourceDocument): Fault {
  const found = describe(document.written(path));
  if (keyword === "not") return document.fault(path, `${found} is not in this version`, rightOf(schema));
  if (keyword === "uniqueItems") {
    const second = [...path, Math.max(params.i, params.j)];
    return document.fault(second, `${describe(document.written(second))} twice in one list`, "each of them once");
  }
  const [much, what] = TOO_MUCH.get(keyword) ?? [];
  if (much !== undefined) return document.fault(path, much, `at most ${params.limit} ${what}`);
  const value = document.written(path);
  // What has digits is a version or an algorithm: another one is hardly meant.
  const isWord = keyword === "enum" && typeof value === "string" && !/\d/.test(value);
  const close = isWord ? nearest(value, params.allowedValues) : undefined;
  return document.fault(path, found, `${close === undefined ? "" : `did you mean "${close}"? `}${rightOf(schema)}`);
}

/** A value as a fault names it: `the number 5`, `the text "abc"`, `a list`. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object") return Object.keys(value).length === 0 ? "an empty mapping" : "a mapping";
  if (typeof value === "number" || typeof value === "bigint") return `the number ${value}`;
  if (typeof value !== "string") return String(value);
  // A URL may hold a password.
  const safe = value.replace(/\/\/[^/\s]*@/g, "//…@");
  const shown = safe.length > LONGEST_SHOWN ? `${safe.slice(0, LONGEST_SHOWN)}…` : safe;
  return value === "" ? "an empty text" : `the text ${JSON.stringify(shown)}`;
}

/** The keys and indices of a JSON pointer (RFC 6901). */
function pathOf(pointer: string, root: unknown): Path {
  let value = root;
  return pointer
    .split("/")
    .slice(1)
    .map((part) => {
      const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
      const step = Array.isArray(value) ? Number(key) : key;
      value = (value as Record<string | number, unknown>)[step];
      return step;
    });
}

/** The candidate that was probably meant: at most a third of the letters differ. `undefined` where none is that near. */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  if (name.length > LONGEST_COMPARED) return undefined;
  let best: string | undefined;
  let least = Math.min(name.length - 1, Math.max(1, Math.floor(name.length / 3))) + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) >= least) continue;
    const distance = distanceOf(name, candidate);
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Letters to insert, remove, replace or swap with their neighbour (optimal string alignment), whatever their case. */
function distanceOf(a: string, b: string): number {
  const [from, to] = [a.toLowerCase(), b.toLowerCase()];
  let older: number[] = [];
  let row = Array.from({ length: to.length + 1 }, (_, j) => j);
  for (let i = 1; i <= from.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= to.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + Number(from[i - 1] !== to[j - 1]);
      const swapped = from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1] ? (older[j - 2] ?? 0) + 1 : replaced;
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, replaced, swapped));
    }
    [older, row] = [row, next];
  }
  return row[to.length] ?? 0;
}
