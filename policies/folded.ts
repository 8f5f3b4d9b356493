/**
 * What a name is to a reader that is not particular: without case, compatibility forms, and signs. Two names that are
 * one to such a reader are not two to a rule.
 */
export function folded(name: string): string {
  // Upper case first: the long s of Unicode becomes an S only so, and the Kelvin sign a k only by lower case.
  return name
    .normalize("NFKC")
    .toUpperCase()
    .toLowerCase()
    .replace(/[^a-z0-9]/g, "");
}
