import { existsSync } from "node:fs";
import { type Document, parseDocument } from "yaml";
import { readDocument } from "../../../policies/source/document.ts";
import { schemaFaults } from "../../../policies/source/validate.ts";
import SCHEMA from "../../config/files/api-keys.schema.json" with { type: "json" };
import { EXIT } from "../../processes/exit.ts";
import { CommandError, faultsText } from "../command.ts";
import { changeFile, textOf } from "./whole-file.ts";

/** A key as its file has it; agent/config/files/api-keys.schema.json describes each member. */
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
 * Changes a file with keys; what is written in it besides stays.
 *
 * @throws CommandError where the file is not sound, or cannot be written
 */
export function changeKeys(
  file: string,
  change: (document: Document, keys: Readonly<Record<string, WrittenKey>>) => void,
): void {
  changeFile(file, MODE, (text = HEAD) => {
    const keys = keysOf(file, text);
    const document = parseDocument(text);
    change(document, keys);
    const changed = document.toString({ lineWidth: 0 });
    keysOf(file, changed);
    return changed;
  });
}

function keysOf(file: string, text: string): Readonly<Record<string, WrittenKey>> {
  const document = readDocument(file, text);
  const faults = "value" in document ? schemaFaults(document, SCHEMA) : document;
  if (faults.length > 0 || !("value" in document)) throw new CommandError(faultsText(faults), EXIT.configuration);
  return (document.value as { readonly keys: Readonly<Record<string, WrittenKey>> }).keys;
}
