import { type ClaimPath, claimAt, claimPath, isMapping } from "../../../policies/claim-path.ts";
import { typeName, Unknown } from "../../../policies/unknown.ts";
import type { ClaimPlace } from "../../config/config.ts";
import type { Claims } from "./claims.ts";

/** Where a claim stands: the first of these that is there counts. */
export type Sources = readonly Source[];

interface Source {
  readonly path: ClaimPath;
  /** The keys of the mapping there are the values. */
  readonly keys: boolean;
}

/** The places in the order in which they are looked at. */
export function sourcesOf(place: ClaimPlace): Sources {
  if (typeof place === "object" && "first" in place) return place.first.flatMap(sourcesOf);
  if (typeof place === "object" && "keysOf" in place) return [{ path: claimPath(place.keysOf), keys: true }];
  return [{ path: claimPath(place), keys: false }];
}

/** As an explanation names it. */
export function nameOf(sources: Sources): string {
  return sources.map(({ path }) => path.text).join(" or ");
}

/** The first that is there; Unknown where that is not the claim itself. */
export function valueAt(claims: Claims, sources: Sources): unknown {
  for (const { path, keys } of sources) {
    const value = claimAt(claims, path);
    if (value !== undefined) return keys && !(value instanceof Unknown) ? keysOf(value, path) : value;
  }
  return undefined;
}

/** A key with `false` or `null` says that it is none. */
function keysOf(value: unknown, path: ClaimPath): readonly string[] | Unknown {
  if (!isMapping(value)) return new Unknown(path.text, `${typeName(value)} that cannot be read; expected a mapping`);
  return Object.keys(value).filter((key) => value[key] !== false && value[key] !== null);
}
