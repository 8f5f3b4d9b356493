import { readFileSync, statSync } from "node:fs";

/**
 * The text of a file, or why there is none, in words that hold nothing of the file.
 *
 * @param limit largest size in bytes
 */
export function readText(file: string, limit: number): { readonly text: string } | { readonly problem: string } {
  try {
    const problem = unfit(file, limit);
    if (problem !== undefined) return { problem };
    return { text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(readFileSync(file)) };
  } catch (error) {
    return { problem: problemOf(error) };
  }
}

/**
 * Why a file is none to be read whole: a pipe would be waited for, and a device has no end.
 *
 * @param limit largest size in bytes @returns undefined where it is one @throws Error of node:fs
 */
export function unfit(file: string, limit: number): string | undefined {
  const stat = statSync(file);
  if (!stat.isFile()) return stat.isDirectory() ? "it is a directory" : "it is not a plain file";
  return stat.size > limit ? `it has more than ${limit} bytes` : undefined;
}

/** Why a file cannot be read, of an error of node:fs. */
export function problemOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ENOENT" || code === "ENOTDIR") return "there is no such file";
  if (code === "EISDIR") return "it is a directory";
  if (code === "EACCES" || code === "EPERM") return "permission denied";
  return code === "ERR_ENCODING_INVALID_ENCODED_DATA" ? "it is not UTF-8" : code;
}
