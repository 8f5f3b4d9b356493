import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { PolicyText } from "../../policies/compile/compile.ts";
import type { Fault } from "../../policies/fault.ts";
import { LARGEST } from "../../policies/source/yaml-syntax.ts";
import { problemOf, unfit } from "../config/files/read-file.ts";

/** Entries of one search, and directories below each other. Past them a mount was probably named by mistake. */
const MOST_FILES = 1000;
const DEEPEST = 8;

/** What a search for policy files found. */
export interface FoundFiles {
  /** Sorted within each directory, in the order of the configuration. */
  readonly policies: readonly string[];
  /** `*.test.yaml`: cases for `countersign test`. */
  readonly tests: readonly string[];
  /** Every one that was searched. */
  readonly directories: readonly string[];
  readonly faults: readonly Fault[];
}

/**
 * Searches files and directories for `*.yaml` and `*.yml`. Entries beginning with a dot are skipped: a ConfigMap's mount
 * keeps its versions in them, and links the present one's files beside.
 *
 * @param paths absolute
 */
export async function findPolicyFiles(paths: readonly string[]): Promise<FoundFiles> {
  const found = { policies: [] as string[], tests: [] as string[], directories: [] as string[], faults: [] as Fault[] };
  for (const path of paths) await search(path, true, 0, found);
  return found;
}

interface Found {
  readonly policies: string[];
  readonly tests: string[];
  readonly directories: string[];
  readonly faults: Fault[];
}

async function search(path: string, named: boolean, depth: number, found: Found): Promise<void> {
  try {
    const stats = await stat(path);
    if (stats.isDirectory()) {
      const before = found.policies.length + found.tests.length;
      if (depth < DEEPEST) await searchDirectory(path, depth, found);
      if (named && found.policies.length + found.tests.length === before) {
        found.faults.push(
          fault(path, "no policy file in this directory", "a file whose name ends in `.yaml` or `.yml`"),
        );
      }
    } else add(path, named, stats.isFile(), found);
  } catch (error) {
    found.faults.push(
      fault(
        path,
        `cannot be read: ${problemOf(error)}`,
        "a readable file or directory; see `policies` in the configuration",
      ),
    );
  }
}

async function searchDirectory(path: string, depth: number, found: Found): Promise<void> {
  found.directories.push(path);
  const names = (await readdir(path)).filter((name) => !name.startsWith(".")).sort();
  for (const name of names) await search(join(path, name), false, depth + 1, found);
}

function add(path: string, named: boolean, plain: boolean, found: Found): void {
  if (!named && !/\.ya?ml$/.test(path)) return;
  // A pipe would be waited for, by a thread of the process that nothing ends.
  if (!plain) {
    found.faults.push(fault(path, "cannot be read: it is not a plain file", "a readable file"));
    return;
  }
  if (found.policies.length + found.tests.length >= MOST_FILES) {
    found.faults.push(fault(path, `more than ${MOST_FILES} files`, "is `policies` the directory that was meant?"));
    return;
  }
  (/\.test\.ya?ml$/.test(path) ? found.tests : found.policies).push(path);
}

/** Reads the files that were found. */
export async function readPolicyFiles(
  files: readonly string[],
): Promise<{ readonly texts: readonly PolicyText[]; readonly faults: readonly Fault[] }> {
  const texts: PolicyText[] = [];
  const faults: Fault[] = [];
  for (const file of files) {
    try {
      const problem = unfit(file, LARGEST);
      if (problem === undefined) texts.push({ file, text: await readFile(file, "utf8") });
      else faults.push(fault(file, `cannot be read: ${problem}`, `a plain file of at most ${LARGEST} bytes`));
    } catch (error) {
      faults.push(fault(file, `cannot be read: ${problemOf(error)}`, "a readable file"));
    }
  }
  return { texts, faults };
}

function fault(file: string, found: string, right: string): Fault {
  return { file, line: 1, column: 1, found, right };
}
