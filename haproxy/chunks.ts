/** HAProxy takes 64 words a line. */
const MOST_WORDS = 32;

/** Words for several lines. */
export function chunks(words: readonly string[]): readonly string[] {
  const lines = Math.ceil(words.length / MOST_WORDS);
  return Array.from({ length: lines }, (_, n) => words.slice(n * MOST_WORDS, (n + 1) * MOST_WORDS).join(" "));
}
