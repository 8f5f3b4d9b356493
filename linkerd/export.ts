import { parseAllDocuments } from "yaml";

/** A mapping of whatever a cluster holds. */
export type Fields = Readonly<Record<string, unknown>>;

/** A Kubernetes object of a cluster's export. */
export interface Exported {
  /** Of its `apiVersion`; empty for Kubernetes' own. */
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly metadata: Fields;
  readonly spec: Fields;
  readonly status: Fields;
}

/**
 * Reads what `kubectl get … -o yaml` (or json) gives: a List, or documents one after the other.
 *
 * @throws Error that says what is wrong with it
 */
export function readExport(text: string): readonly Exported[] {
  const documents = parseAllDocuments(text, { prettyErrors: true, logLevel: "error" });
  return documents.flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw new Error(error.message);
    return objectsIn(document.toJS());
  });
}

function objectsIn(value: unknown): readonly Exported[] {
  if (value === null || value === undefined) return [];
  const { apiVersion, kind, metadata, spec, status, items } = fields(value);
  if (typeof kind !== "string" || typeof apiVersion !== "string")
    throw new Error("something without apiVersion and kind");
  if (kind.endsWith("List") && Array.isArray(items)) return items.flatMap(objectsIn);
  const { name, namespace } = fields(metadata);
  const group = apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "";
  return [
    {
      group,
      kind,
      namespace: text(namespace) || "default",
      name: text(name),
      metadata: fields(metadata),
      spec: fields(spec),
      status: fields(status),
    },
  ];
}

/** A mapping's fields; none where it is something else. */
export function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

/** A list's members; none where it is something else. */
export function members(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
