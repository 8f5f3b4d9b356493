const LEAST = -(2n ** 63n);
const MOST = 2n ** 63n - 1n;
/** Digits that the decimal form of an integer of 64 bits has at most, and its sign. */
const LONGEST = 20;
/** Decimal digits that a double keeps, whatever the number. */
const KEPT = 15;

/**
 * What a number that was written in decimal is: never another one, as a double would make 9007199254740992 of
 * 9007199254740993 and so one tenant of two.
 *
 * @param text as JSON, YAML or CEL write it
 * @returns a number for an integer that a double holds, and for a fraction; a bigint for the other integers of 64 bits;
 * undefined for an integer beyond those, and for what is written with a fraction or exponent and may have been rounded
 * to an integer
 */
export function exactNumber(text: string): number | bigint | undefined {
  const value = Number(text);
  if (/^-?\d+$/.test(text)) return Number.isSafeInteger(value) ? value : exactInteger(text);
  if (!Number.isInteger(value)) return Number.isFinite(value) ? value : undefined;
  // 1e-400 is 0 to a double.
  const kept = value === 0 ? 0 : KEPT;
  const whole = text.endsWith(".0") || significantDigits(text) <= kept;
  return whole && Number.isSafeInteger(value) ? value : undefined;
}

function exactInteger(text: string): bigint | undefined {
  if (text.length > LONGEST) return undefined;
  const value = BigInt(text);
  return value >= LEAST && value <= MOST ? value : undefined;
}

function significantDigits(text: string): number {
  const [mantissa = ""] = text.split(/e/i);
  return mantissa.replace(/[-+.]/g, "").replace(/^0+/, "").replace(/0+$/, "").length;
}
