import { dirname, resolve } from "node:path";
import { readText } from "./files/read-file.ts";
import type { Section } from "./section.ts";

/**
 * The text of the file that a key names, by a path from the configuration's own; a change of it reloads.
 *
 * @param right what would be, for the fault
 * @param largest bytes of it at most
 * @returns undefined where the section names none, or, with a fault, none that can be read
 */
export function namedText(section: Section, key: string, right: string, largest: number): string | undefined {
  const named = section.optionalText(key);
  if (named === undefined) return undefined;
  const { document, files } = section.reading;
  const file = resolve(dirname(document.file), named);
  files.push(file);
  const read = readText(file, largest);
  if ("text" in read) return read.text;
  section.fault([key], right, `${section.found([key])} names a file that cannot be read: ${read.problem}`);
  return undefined;
}
