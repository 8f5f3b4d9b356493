import type { Fault } from "../../policies/fault.ts";
import type { CheckedSet } from "./load.ts";

type Policies = Pick<CheckedSet, "checked" | "silent">;

/**
 * What of a set says nothing: policy files without a role or service, and the whole where it has no service. Well for a
 * beginning, which is why it is no fault; but see `takenAway`.
 *
 * @param files the policy files that were found
 */
export function silentParts(file: string, files: readonly string[], checked: CheckedSet["checked"]): readonly Fault[] {
  const speaking = speakingFiles(checked);
  const silent = files
    .filter((found) => !speaking.has(found))
    .map((found) => fault(found, "it says nothing", "`roles` or `services`, or no such file"));
  if (servicesIn(checked) > 0) return silent;
  const none = "the policies have no service: every request is refused";
  return [...silent, fault(file, none, "`services` in a policy file")];
}

/**
 * What a set would take away only by having become empty: a disk was full, a mount is gone, a key of a ConfigMap lost
 * its text. Nobody means that, and it would refuse what works, so such a set does not come into force. A file or
 * directory that was removed was meant to be, as long as a service is left.
 *
 * @param read the files and directories that the next set was read from
 */
export function takenAway(file: string, before: Policies, next: Policies, read: readonly string[]): readonly Fault[] {
  const spoke = [...speakingFiles(before.checked)];
  const emptied = next.silent
    .filter((silent) => spoke.includes(silent.file))
    .map(({ file }) => fault(file, "it says nothing any more", "its roles and services; or remove the file"));
  const found = [...next.checked.files, ...next.silent].map((each) => each.file);
  const bare = read
    .filter((path) => spoke.some(isBelow(path)) && !found.some(isBelow(path)))
    .map((path) => fault(path, "no policy file in this directory any more", "its files; or remove the directory"));
  if (emptied.length + bare.length > 0 || servicesIn(next.checked) > 0 || servicesIn(before.checked) === 0) {
    return [...emptied, ...bare];
  }
  return [fault(file, "the policies have no service any more", "a service; or a restart, if no request is to pass")];
}

function speakingFiles({ files }: CheckedSet["checked"]): ReadonlySet<string> {
  const speaking = files.filter(({ content: { roles = {}, services = {} } }) => {
    return Object.keys(roles).length + Object.keys(services).length > 0;
  });
  return new Set(speaking.map(({ file }) => file));
}

function servicesIn({ files }: CheckedSet["checked"]): number {
  return files.reduce((sum, { content }) => sum + Object.keys(content.services ?? {}).length, 0);
}

function isBelow(directory: string): (file: string) => boolean {
  return (file) => file.startsWith(`${directory}/`);
}

function fault(file: string, found: string, right: string): Fault {
  return { file, line: 1, column: 1, found, right };
}
