import { versionOf } from "./input.ts";

/**
 * A line that HAProxy has from one version on, without indentation: written plainly where all readers are as new, else
 * for the new ones only, and `otherwise` for those before.
 *
 * @param version the oldest HAProxy that has to read it
 */
export function since(
  version: string,
  major: number,
  minor: number,
  line: string,
  otherwise?: string,
): readonly string[] {
  if (isFrom(version, major, minor)) return [line];
  const alternative = otherwise === undefined ? [] : [".else", otherwise];
  return [`.if version_atleast(${major}.${minor})`, line, ...alternative, ".endif"];
}

/** A line for those before one version only: none where all readers are as new. */
export function before(version: string, major: number, minor: number, line: string): readonly string[] {
  return isFrom(version, major, minor) ? [] : [`.if !version_atleast(${major}.${minor})`, line, ".endif"];
}

function isFrom(version: string, major: number, minor: number): boolean {
  const given = versionOf(version) ?? { major: 0, minor: 0 };
  return given.major > major || (given.major === major && given.minor >= minor);
}
