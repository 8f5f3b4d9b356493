import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type CheckInput, type CheckReport, checkHaproxy } from "../../haproxy/check/check.ts";

/** Configurations that let a request through, and some that look it and do not; each was run on real HAProxys. */
export const CORPUS = join(import.meta.dirname, "corpus");

const NOTHING: Omit<CheckInput, "files" | "readFile"> = {
  version: undefined,
  defines: new Map(),
  nearest: () => undefined,
  backends: [],
  public: [],
  identityPrefix: undefined,
  identityHeaders: [],
};

/** Proves texts, the `.cfg` among them in their order; SPOE files are found among them, and in the corpus. */
export function prove(files: Readonly<Record<string, string>>, about: Partial<CheckInput> = {}): CheckReport {
  return checkHaproxy({
    ...NOTHING,
    files: Object.entries(files)
      .filter(([name]) => name.endsWith(".cfg"))
      .map(([name, text]) => ({ name, text })),
    readFile: (path) => files[basename(path)] ?? corpusFile(basename(path)),
    ...about,
  });
}

export function corpusFile(name: string): string | undefined {
  try {
    return readFileSync(join(CORPUS, name), "utf8");
  } catch {
    return undefined;
  }
}

/** Findings that `check` ends with another exit code than 0 for, each `fault gate 18`. */
export function told({ findings }: CheckReport): readonly string[] {
  return findings.filter(({ level }) => level !== "warning").map(({ level, code, line }) => `${level} ${code} ${line}`);
}
