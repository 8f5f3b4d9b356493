import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { EXIT } from "../../processes/exit.ts";
import { CommandError } from "../command.ts";

/**
 * Writes all of these files, or changes nothing. Each appears at once and whole, so that a HAProxy which starts
 * meanwhile reads the old one or the new one. What is there is replaced: whether it may be is the caller's to know.
 *
 * @param files texts by path
 * @throws CommandError that names the file which cannot be written
 */
export function writeAll(files: Readonly<Record<string, string>>): void {
  const undo: (() => void)[] = [];
  let at = "";
  try {
    for (const [path, text] of Object.entries(files)) {
      at = path;
      const made = mkdirSync(dirname(path), { recursive: true });
      if (made !== undefined) undo.push(() => rmSync(made, { recursive: true }));
      undo.push(() => rmSync(beside(path), { force: true }));
      writeFileSync(beside(path), text);
    }
    for (const path of Object.keys(files)) {
      at = path;
      const former = existsSync(path) ? readFileSync(path) : undefined;
      renameSync(beside(path), path);
      undo.push(() => (former === undefined ? rmSync(path) : writeFileSync(path, former)));
    }
  } catch (error) {
    for (const step of undo.reverse()) step();
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new CommandError(`${at} cannot be written: ${code}; nothing was changed`, EXIT.cannotCreate);
  }
}

function beside(path: string): string {
  return `${path}.${process.pid}.new`;
}
