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
  readonly definitions?: Readonly<Record<string, Schema>>;
}

/** The schema of the value that a path leads to. What stands beside a `$ref` is said of that place, and counts first. */
export function schemaAt(root: Schema, path: Path): Schema {
  let schema = root;
  for (const step of path) schema = resolved(childOf(schema, step), root);
  return schema;
}

/** A schema with its `$ref` followed. */
export function resolved(schema: Schema, root: Schema): Schema {
  const name = schema.$ref?.replace("#/definitions/", "");
  return name === undefined ? schema : { ...root.definitions?.[name], ...schema };
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
