import { dirname, resolve } from "node:path";
import type { AssertionConfig } from "../config.ts";
import { LARGEST_RING, parseRing, type RingKey } from "../files/key-ring.ts";
import { readText } from "../files/read-file.ts";
import type { Section } from "../section.ts";

/** Reads `assertion`. @param file the configuration's absolute path */
export function readAssertion(root: Section, file: string): AssertionConfig | undefined {
  if (!root.keys().includes("assertion")) return undefined;
  const section = root.section("assertion");
  if (!root.section("listen").keys().includes("web")) {
    const right = "`listen: { web: 127.0.0.1:9902 }`, where HAProxy fetches them for backends";
    section.warn([], "backends cannot fetch the keys of the assertion: no listener has them", right);
  }
  const keys = resolve(dirname(file), section.text("keys"));
  return {
    issuer: section.text("issuer"),
    lifetime: section.milliseconds("lifetime"),
    claims: section.texts("claims") as AssertionConfig["claims"],
    keys,
    ring: section.text("keys") === "" ? [] : readRing(keys, section),
  };
}

function readRing(file: string, section: Section): readonly RingKey[] {
  section.reading.files.push(file);
  const read = readText(file, LARGEST_RING);
  const ring = "text" in read ? parseRing(read.text) : { problem: `it cannot be read: ${read.problem}` };
  if (!("problem" in ring)) return ring;
  const right = "the file of a key ring; `countersign keys rotate FILE` makes one";
  section.fault(["keys"], right, `${section.found(["keys"])}: ${ring.problem}`);
  return [];
}
