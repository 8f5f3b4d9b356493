import { resolve } from "node:path";
import type { Fault } from "../../../policies/fault.ts";
import type { Path, SourceDocument } from "../../../policies/source/document.ts";
import { readText } from "./read-file.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** A document whose references have been replaced, what was wrong with them, and the files they named. */
export interface Substituted {
  readonly document: SourceDocument;
  readonly faults: readonly Fault[];
  readonly files: readonly string[];
}

const REFERENCE = /\$\{[^}]*\}?/g;
const LARGEST_FILE = 64 << 10;

/**
 * Puts in what `${env:NAME}` and `${file:PATH}` stand for, in every text of a document. What is put in is taken as it
 * is: not searched for further references, and never shown by a fault.
 *
 * @param directory where relative paths begin
 */
export function substitute(document: SourceDocument, environment: Environment, directory: string): Substituted {
  const faults: Fault[] = [];
  const files: string[] = [];
  const replacement = (reference: string, path: Path): string => {
    const [, source, name = ""] = /^\$\{(env|file):(.+)\}$/.exec(reference) ?? [];
    const file = resolve(directory, name);
    if (source === "file") files.push(file);
    const read =
      source === "env" ? variable(name, environment) : source === "file" ? content(file) : unknown(reference);
    if (typeof read === "string") return read;
    faults.push(document.fault(path, read.found, read.right));
    return reference;
  };
  const replaced = document.withTexts((text, path) =>
    text.replace(REFERENCE, (reference) => replacement(reference, path)),
  );
  return { document: replaced, faults, files };
}

type Read = string | { readonly found: string; readonly right: string };

function variable(name: string, environment: Environment): Read {
  const value = Object.hasOwn(environment, name) ? environment[name] : undefined;
  return value ?? { found: `the environment has no ${name}`, right: "set the variable, or write its value here" };
}

/** Editors and `echo` end a file with a line break that is no part of what it says. */
function content(file: string): Read {
  const read = readText(file, LARGEST_FILE);
  if ("text" in read) return read.text.replace(/\r?\n$/, "");
  return {
    found: `${file} cannot be read: ${read.problem}`,
    right: `a readable file of at most ${LARGEST_FILE} bytes`,
  };
}

function unknown(reference: string): Read {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is what is to be written
  return { found: `the reference ${JSON.stringify(reference)}`, right: "${env:NAME} or ${file:PATH}" };
}
