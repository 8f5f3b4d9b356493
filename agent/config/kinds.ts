import { claimPathFault, isMapping } from "../../policies/claim-path.ts";
import { type WantedEntry, wantedFault } from "../../policies/judging/wanted.ts";
import type { Kind } from "../../policies/principal.ts";
import type { Path } from "../../policies/source/document.ts";
import type { ClaimsIssuer, KindRule } from "./config.ts";
import type { Section } from "./section.ts";

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
  const claims = isMapping(value) ? Object.entries(value) : [];
  return {
    kind,
    claims: claims.map(([path, wanted]) => {
      checkClaim(path, wanted, [...at, path], section);
      return { path, wanted: wanted as KindRule["claims"][number]["wanted"] };
    }),
  };
}

function checkClaim(path: string, wanted: unknown, at: Path, section: Section): void {
  const odd = claimPathFault(path);
  if (odd !== undefined) section.fault(at, CLAIM, `the claim ${JSON.stringify(path)}`);
  if (isMapping(wanted) && "present" in wanted) {
    if (Object.keys(wanted).length > 1) section.fault(at, "`present` alone: a claim that is asked for is there");
    return;
  }
  const fault = wantedFault(wanted as WantedEntry);
  if (fault !== undefined) section.fault(fault.key === undefined ? at : [...at, fault.key], fault.right, fault.found);
}
