import type { AssertionConfig } from "../config.ts";
import { parseRing } from "../files/key-ring.ts";
import type { Section } from "../section.ts";
import { readKeys } from "./ring.ts";

/** Reads `assertion`. */
export function readAssertion(root: Section): AssertionConfig | undefined {
  if (!root.keys().includes("assertion")) return undefined;
  const section = root.section("assertion");
  if (!root.section("listen").keys().includes("web")) {
    const right = "`listen: { web: 127.0.0.1:9902 }`, where HAProxy fetches them for backends";
    section.warn([], "backends cannot fetch the keys of the assertion: no listener has them", right);
  }
  return {
    issuer: section.text("issuer"),
    lifetime: section.milliseconds("lifetime"),
    claims: section.texts("claims") as AssertionConfig["claims"],
    ...readKeys(section, parseRing, "countersign keys rotate FILE"),
  };
}
