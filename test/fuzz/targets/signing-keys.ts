import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";

/** Seconds are whole, and it is always the same instant. */
export const NOW = Date.UTC(2026, 10, 28, 12);

export const ALGORITHMS = ["RS256", "ES256", "EdDSA"] as const;

/** Keys of these tests alone, always the same: a case can be run again. */
export const KEYS = Object.fromEntries(
  ALGORITHMS.map((algorithm) => {
    const pem = readFileSync(new URL(`../keys/${algorithm}.pem`, import.meta.url), "utf8");
    const key = createPrivateKey(pem);
    return [algorithm, { kid: algorithm, private: key, public: createPublicKey(key) }];
  }),
) as Readonly<
  Record<(typeof ALGORITHMS)[number], { readonly kid: string; readonly private: KeyObject; readonly public: KeyObject }>
>;
