const GENERATOR = 65_537;

/**
 * Of each small prime up to 167, but for those that tell nothing, the remainders that the powers of 65537 leave. The
 * product of these primes divides the number from which the library of CVE-2017-15361 makes primes of any size.
 */
const REMAINDERS: readonly (readonly [prime: bigint, remainders: ReadonlySet<number>])[] = smallPrimes(167)
  .map((prime) => [BigInt(prime), powers(prime)] as const)
  .filter(([prime, remainders]) => remainders.size < Number(prime) - 1);

/**
 * Whether an RSA modulus has the fingerprint of keys that Infineon's library made, which can be factored: modulo each
 * of these primes it is a power of 65537 (Nemec and others, "The Return of Coppersmith's Attack", 2017, section 2.3).
 * A modulus that was made at random has it in one case of some 240 million.
 *
 * @param modulus big-endian
 */
export function isRoca(modulus: Buffer): boolean {
  const number = BigInt(`0x${modulus.toString("hex")}`);
  return REMAINDERS.every(([prime, remainders]) => remainders.has(Number(number % prime)));
}

function smallPrimes(last: number): readonly number[] {
  const primes: number[] = [];
  for (let n = 3; n <= last; n += 2) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
}

function powers(prime: number): ReadonlySet<number> {
  const found = new Set<number>();
  for (let power = 1; !found.has(power); power = (power * GENERATOR) % prime) found.add(power);
  return found;
}
