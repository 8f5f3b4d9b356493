import type { Test } from "tap";

/** A number from 0 to below `below`. */
export type Random = (below: number) => number;

/** A generator that begins with SEED from the environment, or with a seed of its own; the test's output names it. */
export function seeded(t: Test): { readonly seed: number; readonly random: Random } {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.comment(`SEED=${seed}`);
  return { seed, random: generator(seed) };
}

/** mulberry32: small, and the same everywhere. */
function generator(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Bytes with a meaning of their own somewhere in a frame: ends of varints, types, flags. */
const SHARP = [0, 1, 0x7f, 0x80, 0xef, 0xf0, 0xff];

/**
 * A copy of a frame with some bytes changed, from `from` on.
 *
 * @param most changes; at least one is made
 */
export function mutated(original: Buffer, random: Random, from: number, most: number): Buffer {
  const bytes = Buffer.from(original);
  if (from >= bytes.length) return bytes;
  for (let n = random(most); n >= 0; n--) {
    const at = from + random(bytes.length - from);
    bytes[at] = random(3) === 0 ? (SHARP[random(SHARP.length)] as number) : random(256);
  }
  return bytes;
}
