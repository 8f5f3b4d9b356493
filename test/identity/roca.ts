import { checkPrimeSync, createPrivateKey, createPublicKey, type KeyObject, randomBytes } from "node:crypto";

const E = 65_537n;
const SMALL = [...Array(702).keys()].filter((n) => n > 1 && ![...Array(n).keys()].some((d) => d > 1 && n % d === 0));
/** For keys of 2,048 bits: the product of the first 126 primes. */
const M = SMALL.reduce((product, prime) => product * BigInt(prime), 1n);

/** An RSA key pair as the library of CVE-2017-15361 makes them: its primes are k * M + (65537^a mod M). */
export function rocaKeyPair(): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  const [p, q] = [rocaPrime(), rocaPrime()];
  const n = p * q;
  const d = inverse(E, (p - 1n) * (q - 1n));
  const numbers = { n, e: E, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) };
  const jwk = Object.fromEntries(Object.entries(numbers).map(([name, number]) => [name, base64url(number)]));
  const privateKey = createPrivateKey({ key: { kty: "RSA", ...jwk }, format: "jwk" });
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

function rocaPrime(): bigint {
  for (;;) {
    const power = modPow(E, BigInt(`0x${randomBytes(16).toString("hex")}`), M);
    // The two highest bits are set, so that the product of two of them has 2,048 bits.
    const least = (3n << 1022n) / M + 1n;
    const candidate = (least + BigInt(`0x${randomBytes(6).toString("hex")}`)) * M + power;
    if (candidate >> 1024n === 0n && checkPrimeSync(candidate)) return candidate;
  }
}

function modPow(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (let [square, left] = [base % modulus, exponent]; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result;
}

function inverse(number: bigint, modulus: bigint): bigint {
  let [a, b, x, y] = [number % modulus, modulus, 1n, 0n];
  while (b !== 0n) [a, b, x, y] = [b, a % b, y, x - (a / b) * y];
  return ((x % modulus) + modulus) % modulus;
}

function base64url(number: bigint): string {
  const hex = number.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex").toString("base64url");
}
