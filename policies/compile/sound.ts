import type { Path } from "../source/document.ts";
import type { SchemaFault } from "../source/validate.ts";
import type { PolicyFile } from "./policy-file.ts";

/**
 * The part of a policy file that its schema has nothing against, so that the rest of its mistakes can be told as well.
 *
 * What goes is the binding, route or service that a fault is in, and no more; it leaves a hole in its list, for what
 * comes after it to keep its place. A role stays, if only by name: its uses are no mistakes.
 */
export function soundPart(value: unknown, faults: readonly SchemaFault[]): PolicyFile {
  const root = structuredClone(value);
  if (!isMapping(root)) return {};
  for (const { path, surplus } of faults) remove(root, surplus ? path : unitOf(path));
  return root;
}

/** The binding, route or service that a path leads into; the path itself outside of them. */
function unitOf(path: Path): Path {
  const [section, , third, fourth] = path;
  if (section === "roles") return path.slice(0, Math.min(path.length, 3));
  if (section === "services") return third === "routes" && fourth !== undefined ? path.slice(0, 4) : path.slice(0, 2);
  return path;
}

function remove(root: Record<string | number, unknown>, path: Path): void {
  const last = path.at(-1);
  let parent: unknown = root;
  for (const step of path.slice(0, -1))
    parent = isMapping(parent) || Array.isArray(parent) ? Reflect.get(parent, step) : undefined;
  if (last === undefined || !(isMapping(parent) || Array.isArray(parent))) return;
  // What is left of a role is a role without bindings.
  if (path[0] === "roles" && path.length === 2) Reflect.set(parent, last, []);
  else Reflect.deleteProperty(parent, last);
}

function isMapping(value: unknown): value is Record<string | number, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
