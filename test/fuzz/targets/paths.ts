import { ambiguityOf, type PathLeniency, STRICT, segmentsOf } from "../../../policies/routing/path.ts";
import { mutatedText } from "../mutate.ts";
import { hold, type Target } from "../target.ts";

const ORIGINALS = [
  "/",
  "/v1/orders/42",
  "/v1/orders/42/",
  "/files/a%20b/%E4%B8%AD.txt",
  "/a;b=c/d",
  "/a//b",
  "/a%2Fb/..%2fc",
  "/~user/x%7Ey/[1]",
  "/a/./b/../c",
  "/%c0%ae%c0%ae/%u002e",
];
const WORDS = [
  "/",
  "//",
  ".",
  "..",
  "%2e",
  "%2f",
  "%5c",
  "\\",
  ";",
  "%3b",
  "%25",
  "%252e",
  "%00",
  "%c2%a0",
  "%ef%bc%8f",
  "%20",
  "[",
  "~",
  "%7e",
];
const NAMES = Object.keys(STRICT) as (keyof PathLeniency)[];

/** What a service opts in to, by the first octet of an input. */
function leniencyOf(octet: number): PathLeniency {
  return {
    ...STRICT,
    ...Object.fromEntries(NAMES.map((name, bit) => [name, octet !== 0 && (octet & (1 << bit)) !== 0])),
  };
}

/**
 * Held to three readers that a backend might be: the URL standard, a decoder of each segment, and one that takes an
 * encoded slash for a slash and drops what stands behind a semicolon.
 */
export const PATHS: Target = {
  name: "paths",
  oracle:
    "Paths, with whatever a service opts in to: one that is read is what the URL standard's parser leaves as it is, its segments are those that decoding each gives, none is `.` or `..` in any reading, and the two functions that refuse agree",
  tested: 20_000,
  share: 1_500,
  reaches: ["read", "refused"],
  open: () => ({
    input(random) {
      const octet = random.once(2) ? 0 : random.below(64);
      return Buffer.concat([
        Buffer.of(octet),
        Buffer.from(mutatedText(random.pick(ORIGINALS), random, { words: WORDS }), "latin1"),
      ]);
    },
    check(input) {
      const leniency = leniencyOf(input[0] ?? 0);
      const path = input.toString("latin1", 1);
      const segments = segmentsOf(path, leniency);
      const ambiguity = ambiguityOf(path, leniency);
      hold((segments === undefined) === (ambiguity !== undefined), "one function refuses it, the other does not");
      if (segments === undefined) return "refused";
      const url = URL.parse(`http://a.example${path}`);
      hold(
        url?.pathname === path && url.search === "" && url.hash === "",
        () => `the URL standard reads ${url?.pathname}`,
      );
      const decoded = path.split("/").slice(1).map(decodeURIComponent);
      hold(segments.join("\0") === decoded.join("\0"), () => `the segments are ${JSON.stringify(segments)}`);
      for (const piece of segments
        .join("/")
        .normalize("NFKC")
        .split(/[/\\;]/)) {
        hold(!/^\.\.?\s*$|[\s.]$/.test(piece), () => `${JSON.stringify(piece)} climbs, or is shortened`);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
        hold(!/[\u0000-\u001f\u007f-\u009f]/.test(piece), "a control character");
      }
      return "read";
    },
  }),
};
