import { createHash, sign } from "node:crypto";
import { calculateJwkThumbprint, EmbeddedJWK, type JWK, jwtVerify } from "jose";
import { Signatures } from "../../../agent/identity/jwt/signatures.ts";
import { keptFor, ProofMemory, Proofs } from "../../../agent/identity/proof/proofs.ts";
import { DPOP } from "../../support/agent.ts";
import { mutatedJson, mutatedText, spelled } from "../mutate.ts";
import type { Random } from "../random.ts";
import { hold, type Target } from "../target.ts";
import { KEYS, NOW } from "./signing-keys.ts";

const TOKEN = "a token";
const ATH = createHash("sha256").update(TOKEN).digest("base64url");
const TARGET = { scheme: "https", host: "api.example.com", path: "/v1/orders" } as const;
const CLAIMS = { jti: "a", htm: "GET", htu: "https://api.example.com/v1/orders", iat: NOW / 1000, ath: ATH };
const CLIENTS = (["ES256", "EdDSA"] as const).map((algorithm) => ({
  algorithm,
  ...KEYS[algorithm],
  jwk: KEYS[algorithm].public.export({ format: "jwk" }) as JWK,
}));
const URLS = [
  ...[
    "https://API.example.com:443/v1/orders",
    "https://api.example.com/v1/./x/../orders?q#f",
    "https://api.example.com/v1/%6frders",
  ],
  ...[
    "http://api.example.com/v1/orders",
    "https://api.example.com:8443/v1/orders",
    "https://a@api.example.com/v1/orders",
    "https://api.example.com/v1/orders/",
  ],
];

/** A proof by one of two clients, good but for a thing or two. */
function proofOf(random: Random): string {
  const client = random.pick(CLIENTS);
  const header = { typ: "dpop+jwt", alg: client.algorithm, jwk: client.jwk };
  // A proof counts once: each has a name of its own, most of the time.
  const claims = {
    ...CLAIMS,
    jti: random.once(10) ? "a" : String(random.below(2 ** 31)),
    ...(random.once(3) ? { htu: random.pick(URLS) } : {}),
    ...(random.once(6) ? { iat: CLAIMS.iat + random.pick([-60, -61, 10, 11, 0.5]) } : {}),
  };
  const parts = [
    random.once(4) ? mutatedJson(header, random, 1) : header,
    random.once(3) ? mutatedJson(claims, random, 2) : claims,
  ];
  const input = parts
    .map((part) =>
      Buffer.from(random.once(4) ? spelled(part, random) : (JSON.stringify(part) ?? "null")).toString("base64url"),
    )
    .join(".");
  const signer = random.once(12) ? random.pick(CLIENTS) : client;
  const signature = sign(signer.algorithm === "EdDSA" ? null : "sha256", Buffer.from(input), {
    key: signer.private,
    dsaEncoding: "ieee-p1363",
  });
  const proof = `${input}.${signature.toString("base64url")}`;
  return random.once(10) ? mutatedText(proof, random, { words: [".", "=", "_"], most: 2 }) : proof;
}

/** Of whose key it is a proof for this request to the library jose and to the URL standard; undefined for none. */
async function provenToJose(proof: string): Promise<string | undefined> {
  const options = {
    typ: "dpop+jwt",
    algorithms: [...DPOP.algorithms],
    currentDate: new Date(NOW),
    clockTolerance: 3600,
  };
  const verified = await jwtVerify(proof, EmbeddedJWK, options).catch(() => undefined);
  if (verified === undefined) return undefined;
  const {
    payload: { htm, htu, iat = Number.NaN, ath, jti },
    protectedHeader: { jwk },
  } = verified;
  const url = URL.parse(String(htu));
  const age = NOW - iat * 1000;
  const fits =
    htm === "GET" &&
    ath === ATH &&
    typeof jti === "string" &&
    age <= DPOP.maxAge &&
    age >= -DPOP.clockTolerance &&
    url?.origin === "https://api.example.com" &&
    url.username === "" &&
    unescaped(url.pathname) === TARGET.path;
  return fits && jwk !== undefined ? await calculateJwkThumbprint(jwk as JWK) : undefined;
}

/** RFC 3986, section 6.2.2.2: an escape of an unreserved character is that character. */
function unescaped(path: string): string {
  return path.replace(/%[0-9a-f]{2}/gi, (written) => {
    const character = String.fromCharCode(Number.parseInt(written.slice(1), 16));
    return /[\w.~-]/.test(character) ? character : written;
  });
}

export const PROOFS: Target = {
  name: "proofs",
  oracle:
    "DPoP proofs: one that proves a key is, to the library jose and to the URL standard's parser, signed by that key for this method, URL and token, and made lately; the same one never proves it twice",
  tested: 800,
  share: 30,
  reaches: ["proven", "proof-malformed", "proof-mismatch", "binding-mismatch"],
  async open() {
    const signatures = new Signatures();
    await signatures.start();
    const [first] = CLIENTS;
    const jkt = await calculateJwkThumbprint(first?.jwk ?? {});
    const proofs = () => new Proofs(DPOP, new ProofMemory(NOW - 600_000), signatures, keptFor(DPOP, 0));
    return {
      input: (random) => Buffer.from(proofOf(random)),
      async check(input) {
        const dpop = input.toString("latin1");
        const shown = { kind: "dpop", ath: ATH, dpop, certificate: undefined, method: "GET", target: TARGET } as const;
        const judging = proofs();
        const judge = async () => (await judging.prove({ jkt }, shown, NOW, () => true)).refusal?.reason ?? "proven";
        const word = await judge();
        hold(word !== "agent-error", "agent-error");
        if (word !== "proven") return word;
        hold((await provenToJose(dpop)) === jkt, "proven, and not to jose");
        hold((await judge()) === "proof-replayed", "it proves twice");
        return word;
      },
    };
  },
};
