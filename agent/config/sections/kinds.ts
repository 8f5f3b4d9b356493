import { claimPathFault, isMapping } from "../../../policies/claim-path.ts";
import { type WantedEntry, wantedFault } from "../../../policies/judging/wanted.ts";
import type { Kind } from "../../../policies/principal.ts";
import type { Path } from "../../../policies/source/document.ts";
import type { ClaimsIssuer, KindRule, WantedClaim } from "../config.ts";
import type { Section } from "../section.ts";

const CLAIM = "a claim's name, or names with dots between, such as `realm_access.roles`";
const KINDS: readonly Kind[] = ["person", "workload", "agent"];

/** Reads an issuer's `kind`: one word, or by which claims each kind is told. */
export function readKind(issuer: Section): Pick<ClaimsIssuer, "kind" | "kindRules"> {
  if (!isMapping(issuer.value("kind"))) return { kind: issuer.choice<Kind>("kind"), kindRules: [] };
  if (issuer.section("claims").keys().includes("kind")) {
    issuer.fault(["kind"], "one word for those whom `claims.kind` does not tell, or no `claims.kind`");
  }
  const section = issuer.section("kind");
  return { kind: section.choice<Kind>("otherwise"), kindRules: KINDS.flatMap((kind) => rulesOf(kind, section)) };
}

/** One mapping of claims, or several of which one is enough. */
function rulesOf(kind: Kind, section: Section): readonly KindRule[] {
  const value = section.value(kind);
  if (Array.isArray(value)) return value.map((item, index) => ruleOf(kind, item, [kind, index], section));
  return value === undefined ? [] : [ruleOf(kind, value, [kind], section)];
}

function ruleOf(kind: Kind, value: unknown, at: Path, section: Section): KindRule {
  return { kind, claims: wantedClaims(value, at, section) };
}

/** Reads an issuer's `require`: claims, and what each has to be. */
export function readRequire(issuer: Section): readonly WantedClaim[] {
  return wantedClaims(issuer.value("require"), ["require"], issuer);
}

function wantedClaims(value: unknown, at: Path, section: Section): readonly WantedClaim[] {
  const claims = isMapping(value) ? Object.entries(value) : [];
  return claims.map(([path, wanted]) => {
    if (claimPathFault(path) !== undefined) section.fault([...at, path], CLAIM, `the claim ${JSON.stringify(path)}`);
    if (Array.isArray(wanted))
      for (const [index, one] of wanted.entries()) checkWanted(one, [...at, path, index], section);
    else checkWanted(wanted, [...at, path], section);
    return { path, wanted: wanted as WantedClaim["wanted"] };
  });
}

function checkWanted(wanted: unknown, at: Path, section: Section): void {
  if (isMapping(wanted) && "present" in wanted) {
    if (Object.keys(wanted).length > 1) section.fault(at, "`present` alone: a claim that is asked for is there");
    return;
  }
  const fault = wantedFault(wanted as WantedEntry);
  if (fault === undefined) return;
  const place = fault.key === undefined ? at : [...at, fault.key];
  // What a reference stood for is never shown.
  if (section.isWritten(place)) section.fault(place, fault.right, fault.found);
  else section.fault(place, "a text without the signs of patterns; `{ equals: TEXT }` if it is really so");
}
