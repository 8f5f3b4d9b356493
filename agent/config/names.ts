import { claimPathFault, isMapping } from "../../policies/claim-path.ts";
import { signIn } from "../../policies/signs.ts";
import type { Path } from "../../policies/source/document.ts";
import type { ClaimPlace, ClaimSource, WrittenPath } from "./config.ts";
import type { Section } from "./section.ts";

// What a reference stood for is never shown, so the sign is not named.
const LETTER_BY_LETTER =
  "an audience as tokens have it in `aud`: `*`, `?`, `<name>` and other signs of patterns have no meaning there; `{ equals: AUDIENCE }` if it is really called so";

/** Audiences are compared letter by letter: a sign that means something elsewhere is a mistake in them. */
export function readAudiences(section: Section): readonly string[] {
  const value = section.value("audiences");
  if (!Array.isArray(value)) return [];
  return value.flatMap((audience: unknown, index) => {
    if (isMapping(audience)) return typeof audience.equals === "string" ? [audience.equals] : [];
    if (typeof audience !== "string") return [];
    if (signIn(audience) !== undefined) section.fault(["audiences", index], LETTER_BY_LETTER);
    return [audience];
  });
}

/** Where a claim stands; undefined where nothing says it. What the schema refuses is read as nothing, and never used. */
export function readClaim(claims: Section, key: string): ClaimPlace | undefined {
  const value = claims.value(key);
  if (!isMapping(value) || value.first === undefined) return sourceOf(value, [key], claims);
  const places = Array.isArray(value.first) ? value.first : [];
  const sources = places.map((place: unknown, index) => sourceOf(place, [key, "first", index], claims));
  return { first: sources.filter((source) => source !== undefined) };
}

function sourceOf(value: unknown, path: Path, claims: Section): ClaimSource | undefined {
  if (!isMapping(value)) return pathOf(value, path, claims);
  const keysOf = pathOf(value.keys_of, [...path, "keys_of"], claims);
  return keysOf === undefined ? undefined : { keysOf };
}

function pathOf(value: unknown, path: Path, claims: Section): WrittenPath | undefined {
  if (Array.isArray(value)) return value.filter((name) => typeof name === "string");
  if (typeof value !== "string") return undefined;
  const fault = claimPathFault(value);
  if (fault !== undefined) claims.fault(path, fault.right);
  return value;
}
