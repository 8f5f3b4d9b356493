import { type ClaimPath, claimAt, claimPath } from "../../../policies/claim-path.ts";
import { Wanted } from "../../../policies/judging/wanted.ts";
import { oneHolds, type Truth, Unknown } from "../../../policies/unknown.ts";
import type { WantedClaim, WantedValue } from "../../config/config.ts";
import type { Claims } from "./claims.ts";

/** What a claim has to be, compiled. */
export interface ClaimTest {
  readonly path: ClaimPath;
  /** What it has to be, as an explanation shows it. */
  readonly text: string;
  holds(claims: Claims): Truth;
}

/** Compiles what a configuration says of a claim. */
export function claimTest({ path: written, wanted }: WantedClaim): ClaimTest {
  const path = claimPath(written);
  const tests = [wanted].flat().map((each) => testOf(path, each));
  const [only] = tests;
  if (only !== undefined && tests.length === 1) return only;
  return {
    path,
    text: tests.map(({ text }) => text).join(" or "),
    holds: (claims) => oneHolds(tests, (test) => test.holds(claims)),
  };
}

function testOf(path: ClaimPath, wanted: WantedValue): ClaimTest {
  if (typeof wanted === "object" && "present" in wanted) {
    return {
      path,
      text: wanted.present ? "there" : "absent",
      holds(claims) {
        const value = claimAt(claims, path);
        return value instanceof Unknown ? value : (value !== undefined) === wanted.present;
      },
    };
  }
  const test = new Wanted(wanted);
  return { path, text: test.text, holds: (claims) => test.isClaim(claimAt(claims, path), path.text) };
}
