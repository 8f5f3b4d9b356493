import { dirname, resolve } from "node:path";
import { LARGEST_RING } from "../files/key-ring.ts";
import { readText } from "../files/read-file.ts";
import type { Section } from "../section.ts";

/**
 * Reads `keys`, the path of a key ring's file, and the ring; a change of it reloads.
 *
 * @param parse the ring, or what is wrong with it
 * @param command what makes one, for the fault
 */
export function readKeys<Key>(
  section: Section,
  parse: (text: string) => readonly Key[] | { readonly problem: string },
  command: string,
): { readonly keys: string; readonly ring: readonly Key[] } {
  const named = section.text("keys");
  const keys = resolve(dirname(section.reading.document.file), named);
  if (named === "") return { keys, ring: [] };
  section.reading.files.push(keys);
  const read = readText(keys, LARGEST_RING);
  const ring = "text" in read ? parse(read.text) : { problem: `it cannot be read: ${read.problem}` };
  if (!("problem" in ring)) return { keys, ring };
  section.fault(
    ["keys"],
    `the file of a key ring; \`${command}\` makes one`,
    `${section.found(["keys"])}: ${ring.problem}`,
  );
  return { keys, ring: [] };
}
