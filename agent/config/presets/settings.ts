import { isMapping } from "../../../policies/claim-path.ts";
import type { Path, SourceDocument } from "../../../policies/source/document.ts";
import { isLater, type Schema, schemaAt } from "../../../policies/source/schema.ts";

/** One value that is in force. */
export interface Setting {
  /** The keys that lead to it, with dots between. */
  readonly key: string;
  /** As it is written: a reference as it stands, and no password. */
  readonly value: unknown;
  /** Where it comes from: `file:line:column`, `preset NAME` or `default`. */
  readonly from: string;
}

/** All values of a configuration, in the order of its schema: what it says, what its presets say, and the defaults. */
export function settingsOf(document: SourceDocument, schema: Schema): readonly Setting[] {
  return below([], { document, root: schema }, true);
}

interface Walk {
  readonly document: SourceDocument;
  readonly root: Schema;
}

/** @param plain whether each mapping that leads here can be nothing else, so that one that is absent has its defaults */
function below(path: Path, walk: Walk, plain: boolean): readonly Setting[] {
  const { document, root } = walk;
  const value = at(document.value, path);
  const schema = schemaAt(root, path, document.value);
  const known = Object.entries(schema.properties ?? {}).filter(([, property]) => !isLater(property));
  const isPlain = plain && schema.type === "object";
  const isImplied = value === undefined && isPlain && known.length > 0 && needsNothing(schema);
  if (isImplied || (isMapping(value) && (known.length > 0 || typeof schema.additionalProperties === "object"))) {
    const keys = new Set([...known.map(([key]) => key), ...Object.keys(value ?? {})]);
    return [...keys].flatMap((key) => below([...path, key], walk, isPlain));
  }
  const inForce = document.asWritten(path) ?? value ?? schema.default;
  if (inForce === undefined) return [];
  return [{ key: path.join("."), value: hidden(inForce, path.at(-1)), from: origin(path, document) }];
}

function needsNothing({ required = [] }: Schema & { readonly required?: readonly string[] }): boolean {
  return required.length === 0;
}

function origin(path: Path, document: SourceDocument): string {
  if (document.asWritten(path) !== undefined) return document.place(path);
  if (at(document.value, path) === undefined) return "default";
  return `preset ${at(document.value, [...path.slice(0, 2), "preset"])}`;
}

function at(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((outer, step) => (isMapping(outer) ? outer[step] : undefined), value);
}

/** Keys whose texts are secrets by themselves, if they are no references. */
const SECRET = /secret|password/;
const REFERENCE = /^\$\{[^}]+\}$/;

function hidden(value: unknown, key: string | number | undefined): unknown {
  if (typeof value === "string") {
    if (SECRET.test(String(key)) && !REFERENCE.test(value)) return "…";
    return value.replace(/\/\/[^/\s]*@/g, "//…@");
  }
  if (Array.isArray(value)) return value.map((item) => hidden(item, key));
  if (!isMapping(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, hidden(member, name)]));
}
