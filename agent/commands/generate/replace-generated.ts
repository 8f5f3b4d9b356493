import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { EXIT } from "../../processes/exit.ts";
import { CommandError } from "../command.ts";
import { writeAll } from "./write-all.ts";

/** Every file that was generated says so in its first lines. */
const MARK = 'endered by "countersign generate ';

/** Writes them all, or none rather than replace a file that was not generated. @returns their paths */
export function replaceGenerated(directory: string, files: Readonly<Record<string, string>>): readonly string[] {
  const texts = Object.fromEntries(Object.entries(files).map(([name, text]) => [join(directory, name), text]));
  for (const path of Object.keys(texts)) {
    if (!existsSync(path) || isGenerated(path)) continue;
    throw new CommandError(
      `${path} is there and was not generated: it is left as it is. Give another --output, or move it away`,
      EXIT.cannotCreate,
    );
  }
  writeAll(texts);
  return Object.keys(texts);
}

function isGenerated(path: string): boolean {
  try {
    return readFileSync(path, "utf8").slice(0, 400).includes(MARK);
  } catch {
    // A directory, or somebody else's.
    return false;
  }
}
