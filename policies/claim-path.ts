/** The names that lead to a claim. */
export type ClaimPath = readonly string[];

/** Dots descend; a name that holds `:` or `/` (a namespaced claim) is taken whole. */
export function claimPath(name: string): ClaimPath {
  return /[:/]/.test(name) ? [name] : name.split(".");
}

/** The claim at a path; undefined where there is none. Only a token's own members count. */
export function claimAt(claims: Readonly<Record<string, unknown>>, path: ClaimPath): unknown {
  let value: unknown = claims;
  for (const name of path) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    value = Object.hasOwn(value, name) ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
  }
  return value;
}
