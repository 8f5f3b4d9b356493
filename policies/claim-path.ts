import type { TextFault } from "./fault.ts";
import { strayIn } from "./signs.ts";
import { typeName, Unknown } from "./unknown.ts";

type Claims = Readonly<Record<string, unknown>>;

/** The names that lead to a claim. */
export interface ClaimPath {
  readonly names: readonly string[];
  /** As an explanation shows it. */
  readonly text: string;
  /** It was a text with dots, so a name that holds one was taken for two. */
  readonly dotted: boolean;
}

/** A list holds the names as they are. In a text dots descend, but one that holds `:` or `/` (a namespaced claim) is one name. */
export function claimPath(written: string | readonly string[]): ClaimPath {
  if (typeof written !== "string") return { names: written, text: JSON.stringify(written), dotted: false };
  const names = /[:/]/.test(written) ? [written] : written.split(".");
  return { names, text: written, dotted: written.includes(".") };
}

/** Signs of JSONPath, JSON Pointer, globs and templates, and names that are empty. */
const ODD = /[*?%^<>{}[\]]|^[$/:@]|^\.|\.\.|\.$/;

/** Why a path written as a text cannot be what somebody meant; undefined where it can. */
export function claimPathFault(written: string): TextFault | undefined {
  const odd = written.search(ODD);
  const offset = odd < 0 ? (strayIn(written)?.offset ?? odd) : odd;
  const literally = "the names as a list, such as `[resource_access, my.app, roles]`, are taken as they are";
  if (offset >= 0) {
    const found = `\`${written[offset]}\` in a claim's path, where it has no meaning`;
    return { offset, found, right: `names with dots between, such as \`realm_access.roles\`; ${literally}` };
  }
  if (!/^[\w-]+(?:\/[\w-]+)+$/.test(written)) return undefined;
  const right = `dots between the names to descend; ${literally}`;
  return { offset: written.indexOf("/"), found: "`/` between the names of a claim's path", right };
}

/**
 * The claim at a path. Only a token's own members count, and `null` counts as none.
 *
 * @returns undefined where there is none; Unknown where the issuer keeps it elsewhere, or the path meets something else
 * than a mapping, or a name with a dot that the path was not written for
 */
export function claimAt(claims: Claims, path: ClaimPath): unknown {
  const { names } = path;
  let holder = claims;
  for (let depth = 0; depth < names.length; depth++) {
    const value = own(holder, names[depth] as string);
    if (value === undefined) return missing(claims, holder, path, depth);
    if (depth === names.length - 1) return value;
    if (!isMapping(value)) {
      return new Unknown(path.text, `${typeName(value)} where a mapping with ${names[depth + 1]} has to be`);
    }
    holder = value;
  }
  return undefined;
}

function missing(claims: Claims, holder: Claims, path: ClaimPath, depth: number): Unknown | undefined {
  if (depth === 0 && isElsewhere(claims, path.names[0] as string)) return new Unknown(path.text, ELSEWHERE);
  const name = path.dotted ? nameWithDot(holder, path.names, depth) : undefined;
  return name === undefined
    ? undefined
    : new Unknown(path.text, `the token has ${JSON.stringify(name)}, one name; write the path as a list of names`);
}

/** A name that is there, made of several of a path's; or the beginning of one that was taken whole. */
function nameWithDot(holder: Claims, names: readonly string[], depth: number): string | undefined {
  const rest = names.slice(depth).join(".");
  for (let end = rest.indexOf("."); end >= 0; end = rest.indexOf(".", end + 1)) {
    if (own(holder, rest.slice(0, end)) !== undefined) return rest.slice(0, end);
  }
  return own(holder, rest) === undefined ? undefined : rest;
}

const ELSEWHERE = "the issuer keeps it elsewhere";
const NOTHING: readonly string[] = [];
const GROUPS: readonly string[] = ["groups"];

/**
 * OpenID Connect Core 1.0, section 5.6.2: the issuer has the claim, but not in this token. Entra ID does so with many
 * groups, or only says that there are some (`hasgroups`). Unknown is not none: a rule that denies a group would be
 * passed by.
 */
function isElsewhere(claims: Claims, name: string): boolean {
  const names = elsewhere(claims);
  return names instanceof Unknown || names.includes(name);
}

/** Names of the claims that the issuer keeps elsewhere; Unknown where the token does not tell in a form that can be read. */
export function elsewhere(claims: Claims): readonly string[] | Unknown {
  const [names, hasGroups = false] = [own(claims, "_claim_names"), own(claims, "hasgroups")];
  if (names !== undefined && !isMapping(names)) return new Unknown("_claim_names", `${typeName(names)}, not a mapping`);
  const groups = hasGroups === false ? NOTHING : GROUPS;
  return names === undefined ? groups : [...Object.keys(names), ...groups];
}

/** What a claim that is kept elsewhere is to an expression that reads it. */
export function keptElsewhere(claim: string): Unknown {
  return new Unknown(claim, ELSEWHERE);
}

function own(holder: Claims, name: string): unknown {
  return Object.hasOwn(holder, name) ? (holder[name] ?? undefined) : undefined;
}

export function isMapping(value: unknown): value is Claims {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
