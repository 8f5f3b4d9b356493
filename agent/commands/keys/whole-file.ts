import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { EXIT } from "../../processes/exit.ts";
import { CommandError } from "../command.ts";

/**
 * Changes a file. It appears at once and whole, or stays as it is; its owner and mode stay, too, and so does a link. Two
 * that would change it at a time do so one after the other, or the second one says that it has not.
 *
 * @param mode of a new one
 * @param change makes the next text; `undefined` in place of the present one where there is no file
 * @throws CommandError where the file cannot be read or written, and what `change` throws
 */
export function changeFile(file: string, mode: number, change: (text: string | undefined) => string): void {
  // A link stays one.
  const target = existsSync(file) ? realpathSync(file) : file;
  const lock = `${target}.lock`;
  take(lock);
  try {
    replace(target, change(existsSync(target) ? textOf(target) : undefined), mode);
  } finally {
    rmSync(lock, { force: true });
  }
}

/** @throws CommandError where it cannot be read */
export function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new CommandError(`${file} cannot be read: ${codeOf(error)}`, EXIT.configuration);
  }
}

function take(lock: string): void {
  try {
    closeSync(openSync(lock, "wx"));
  } catch (error) {
    const code = codeOf(error);
    const why =
      code === "EEXIST"
        ? "another one is changing the file; where none is, remove this"
        : `it cannot be written: ${code}; nothing was changed`;
    throw new CommandError(`${lock}: ${why}`, EXIT.cannotCreate);
  }
}

function replace(target: string, text: string, anew: number): void {
  const beside = `${target}.${process.pid}.new`;
  try {
    const before = statSync(target, { throwIfNoEntry: false });
    const mode = before === undefined ? anew : before.mode & 0o777;
    writeFileSync(beside, text, { mode: anew & mode });
    // Whoever may read the file may read it on: another account than this one, say.
    if (before !== undefined && before.uid !== process.getuid?.()) chownSync(beside, before.uid, before.gid);
    chmodSync(beside, mode);
    const written = openSync(beside, "r");
    fsyncSync(written);
    closeSync(written);
    renameSync(beside, target);
  } catch (error) {
    rmSync(beside, { force: true });
    throw new CommandError(`${target} cannot be written: ${codeOf(error)}; nothing was changed`, EXIT.cannotCreate);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
