import {
  chmodSync,
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
import { type Document, parseDocument } from "yaml";
import { readDocument } from "../../../policies/source/document.ts";
import { schemaFaults } from "../../../policies/source/validate.ts";
import SCHEMA from "../../config/api-keys.schema.json" with { type: "json" };
import { EXIT } from "../../processes/exit.ts";
import { CommandError, faultsText } from "../command.ts";

/** A key as its file has it; agent/config/api-keys.schema.json describes each member. */
export interface WrittenKey {
  readonly sha256: string;
  readonly subject: string;
  readonly kind: string;
  readonly groups?: readonly string[];
  readonly scopes?: readonly string[];
  readonly audiences?: readonly string[];
  readonly created?: string;
  readonly expires: string;
  readonly revoked?: string;
}

const HEAD = `# API keys of Countersign, by their ids: whom each stands for, and the digest that tells it. No key can be read from it.
# "countersign keys api create", "list" and "revoke" write it; the agent reads it anew when it changes.
keys: {}
`;
/** Who else may read a new one: HAProxy's or the agent's group; nobody may change it. */
const MODE = 0o640;

/** The keys of a file by their ids; none where there is no file. @throws CommandError that lists every fault of it */
export function readKeys(file: string): Readonly<Record<string, WrittenKey>> {
  return existsSync(file) ? keysOf(file, textOf(file)) : {};
}

/**
 * Changes a file with keys. It appears at once and whole, or stays as it is; what is written in it besides stays. Two
 * that would change it at a time do so one after the other, or the second one says that it has not.
 *
 * @throws CommandError where the file is not sound, or cannot be written
 */
export function changeKeys(
  file: string,
  change: (document: Document, keys: Readonly<Record<string, WrittenKey>>) => void,
): void {
  // A link stays one.
  const target = existsSync(file) ? realpathSync(file) : file;
  const lock = `${target}.lock`;
  take(lock);
  try {
    const text = existsSync(target) ? textOf(target) : HEAD;
    const keys = keysOf(file, text);
    const document = parseDocument(text);
    change(document, keys);
    const changed = document.toString({ lineWidth: 0 });
    keysOf(file, changed);
    replace(target, changed);
  } finally {
    rmSync(lock, { force: true });
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

function replace(target: string, text: string): void {
  const beside = `${target}.${process.pid}.new`;
  try {
    const mode = existsSync(target) ? statSync(target).mode & 0o777 : MODE;
    writeFileSync(beside, text, { mode });
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

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new CommandError(`${file} cannot be read: ${codeOf(error)}`, EXIT.configuration);
  }
}

function keysOf(file: string, text: string): Readonly<Record<string, WrittenKey>> {
  const document = readDocument(file, text);
  const faults = "value" in document ? schemaFaults(document, SCHEMA) : document;
  if (faults.length > 0 || !("value" in document)) throw new CommandError(faultsText(faults), EXIT.configuration);
  return (document.value as { readonly keys: Readonly<Record<string, WrittenKey>> }).keys;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
