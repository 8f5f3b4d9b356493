import type { Path } from "./document.ts";

/** The parts of a JSON Schema (draft 7) that faults are worded from. */
export interface Schema {
  readonly $ref?: string;
  readonly description?: string;
  readonly examples?: readonly unknown[];
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly propertyNames?: Schema;
  readonly items?: Schema;
  readonly not?: object;
  readonly anyOf?: readonly object[];
  /** Of two forms the one that a mapping has by the word in one of its keys. */
  readonly if?: { readonly properties: Readonly<Record<string, { readonly const: string }>> };
  readonly then?: Schema;
  readonly else?: Schema;
  readonly definitions?: Readonly<Record<string, Schema>>;
}

/**
 * The schema of the value that a path leads to. What stands beside a `$ref` is said of that place, and counts first.
 *
 * @param value of the whole, by which forms are told
 */
export function schemaAt(root: Schema, path: Path, value?: unknown): Schema {
  let schema = root;
  let found = value;
  for (const step of path) {
    found = isRecord(found) && Object.hasOwn(found, step) ? found[step] : undefined;
    schema = formOf(resolved(childOf(schema, step), root), found, root);
  }
  return schema;
}

/** The form of a value with several; where no word tells it, the last. */
function formOf(schema: Schema, value: unknown, root: Schema): Schema {
  if (schema.if === undefined) return schema;
  const words = Object.entries(schema.if.properties);
  const holds = isRecord(value) && words.every(([key, word]) => value[key] === word.const);
  return formOf(resolved((holds ? schema.then : schema.else) ?? {}, root), value, root);
}

function isRecord(value: unknown): value is Readonly<Record<string | number, unknown>> {
  return typeof value === "object" && value !== null;
}

/** A schema with its `$ref`, a JSON Pointer within the whole, followed. */
export function resolved(schema: Schema, root: Schema): Schema {
  if (schema.$ref === undefined) return schema;
  let found: unknown = root;
  for (const step of schema.$ref.split("/").slice(1)) found = isRecord(found) ? found[step] : undefined;
  const { $ref: _followed, ...beside } = schema;
  return { ...resolved((found ?? {}) as Schema, root), ...beside };
}

function childOf({ properties, additionalProperties, items }: Schema, step: string | number): Schema {
  if (typeof step === "number") return items ?? {};
  if (properties !== undefined && Object.hasOwn(properties, step)) return properties[step] ?? {};
  return typeof additionalProperties === "object" ? additionalProperties : {};
}

/** The keys that a mapping may have in this version. */
export function knownKeys({ properties = {} }: Schema): readonly string[] {
  return Object.keys(properties).filter((name) => !isLater(properties[name] ?? {}));
}

/** Whether a property is one that a later version will have: its schema refuses everything. */
export function isLater({ not }: Schema): boolean {
  return not !== undefined && Object.keys(not).length === 0;
}

/** What would be right, in the schema's own words. */
export function rightOf(schema: Schema): string {
  const { description, examples, type, enum: names, minimum, maximum } = schema;
  const words = description ?? names?.join(", ") ?? [type ?? "another value"].flat().join(" or ");
  const kind = [type].flat().includes("integer") ? "a whole number" : "a number";
  const range = minimum === undefined || maximum === undefined ? "" : `${kind} from ${minimum} to ${maximum}: `;
  const such = examples?.map((example) => JSON.stringify(example)).join(" or ");
  return `${range}${words}${such === undefined ? "" : `, such as ${such}`}`;
}
