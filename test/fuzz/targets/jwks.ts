import { createPublicKey, type KeyObject } from "node:crypto";
import { calculateJwkThumbprint, importJWK, type JWK } from "jose";
import { FetchError } from "../../../agent/http/fetch-error.ts";
import { parseObject } from "../../../agent/http/json.ts";
import { discover, endpointOf } from "../../../agent/identity/oidc/discovery.ts";
import { readJwks } from "../../../agent/identity/oidc/jwks.ts";
import { groupsOf, nextPage } from "../../../agent/identity/okta/page.ts";
import { thumbprintOf } from "../../../agent/identity/proof/thumbprint.ts";
import { mutatedJson, mutatedText, spelled } from "../mutate.ts";
import { hold, type Target } from "../target.ts";
import { KEYS, ALGORITHMS as KINDS } from "./signing-keys.ts";

const ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];
const OWN = KINDS.map((kind) => ({ ...KEYS[kind].public.export({ format: "jwk" }), kid: kind, alg: kind, use: "sig" }));
const WEAK = [
  { kty: "RSA", n: "AQAB", e: "AQAB", kid: "short" },
  { ...OWN[0], e: "AQ", kid: "one" },
  { kty: "oct", k: "c2VjcmV0", kid: "secret" },
  { ...OWN[1], d: "AA", kid: "private" },
  { kty: "EC", crv: "P-384", x: "AA", y: "AA", kid: "nowhere" },
  { kty: "OKP", crv: "X25519", x: OWN[2]?.x, kid: "elsewhere" },
];

export const JWKS: Target = {
  name: "jwks",
  oracle:
    "JWK sets: every key that is taken is one to node and to the library jose, with the thumbprint that jose gives it and of at least 2048 bits; none is private, symmetric or for encryption, and there are at most 100",
  tested: 1_500,
  share: 60,
  reaches: ["keys", "no keys", "refused"],
  open: () => ({
    input(random) {
      const keys = Array.from({ length: 1 + random.below(4) }, () => random.pick<object>(random.once(2) ? OWN : WEAK));
      return Buffer.from(spelled(random.once(4) ? { keys } : mutatedJson({ keys }, random), random));
    },
    async check(input) {
      const document = parseObject(input);
      if (document === undefined) return "refused";
      const jwks = readJwks(document, ALGORITHMS);
      if (typeof jwks === "string") return "refused";
      const members = document.keys as readonly JWK[];
      hold(jwks.keys.length <= 100 && jwks.keys.length <= members.length, "more keys than members");
      for (const { publicKey, algorithms, kid } of jwks.keys) {
        hold(publicKey.type === "public", "a key that is not public");
        if (algorithms.size === 0) continue;
        const { modulusLength = 2048, publicExponent = 3n } = publicKey.asymmetricKeyDetails ?? {};
        hold(modulusLength >= 2048 && publicExponent > 1n, "a weak key");
        const jwk = publicKey.export({ format: "jwk" }) as JWK;
        const own = members.filter((member) => member?.kid === kid && isKeyOf(member, publicKey));
        hold(own.length > 0, "a key that stands nowhere so");
        for (const { d, k, use } of own)
          hold(d === undefined && k === undefined && use !== "enc", "a key that was not meant to be taken");
        for (const algorithm of algorithms) {
          hold(ALGORITHMS.includes(algorithm), "an algorithm that is not allowed");
          await importJWK({ ...jwk }, algorithm);
        }
        hold((await calculateJwkThumbprint(jwk)) === thumbprintOf({ ...jwk }), "jose gives it another thumbprint");
        hold(createPublicKey({ key: jwk, format: "jwk" }).equals(publicKey), "node reads another key");
      }
      return jwks.keys.some(({ algorithms }) => algorithms.size > 0) ? "keys" : "no keys";
    },
  }),
};

/** Whether node reads this key of it; base64url may be written in more ways than one. */
function isKeyOf(member: JWK, key: KeyObject): boolean {
  try {
    return createPublicKey({ key: member, format: "jwk" }).equals(key);
  } catch {
    return false;
  }
}

const ISSUER = "https://idp.example.com";
const DOCUMENTS: readonly unknown[] = [
  { issuer: ISSUER, jwks_uri: `${ISSUER}/keys`, introspection_endpoint: `${ISSUER}/introspect` },
  { issuer: ISSUER, jwks_uri: "http://127.0.0.1:8080/keys", token_endpoint: "https://user:pass@evil.example/" },
  { issuer: "https://other.example.com", access_token_issuer: ISSUER, jwks_uri: "https://keys.example.com/x?y=z" },
];
const URLS = [
  "http://",
  "https://",
  "//",
  "user@",
  ":443",
  "\\",
  "169.254.169.254",
  "localhost",
  "[::1]",
  "file:///etc/passwd",
  "#f",
  "?q",
  "data:,x",
  "127.0.0.1.evil.example",
];

export const DISCOVERY: Target = {
  name: "discovery",
  oracle:
    "Discovery documents and lists of groups that go on elsewhere: an address is only taken of a document that names the issuer byte for byte, and only where it is https without a user; never http from an https provider; a list goes on within its own address alone",
  tested: 3_000,
  share: 100,
  reaches: ["address", "refused"],
  open: () => ({
    input(random) {
      const document = random.once(5) ? random.pick(DOCUMENTS) : mutatedJson(random.pick(DOCUMENTS), random);
      const text = spelled(document, random);
      return Buffer.from(random.once(2) ? text : mutatedText(text, random, { words: URLS, most: 2 }));
    },
    async check(input) {
      const asked = new URL(`${ISSUER}/.well-known/openid-configuration`);
      const bounds = { signal: new AbortController().signal, ca: undefined, proxy: undefined, maxSize: 1 << 20 };
      const send = async () => ({ status: 200, headers: {}, body: input });
      followed(input.toString("latin1"));
      try {
        const url = endpointOf(await discover(send, asked, [ISSUER], bounds), "jwks_uri");
        const { issuer, access_token_issuer, jwks_uri } = JSON.parse(input.toString());
        hold(issuer === ISSUER || access_token_issuer === ISSUER, "another issuer's document");
        hold(
          url.protocol === "https:" && url.username === "" && url.password === "",
          "an address that may not be asked",
        );
        hold(new URL(jwks_uri).href === url.href, "another address than the document's");
        return "address";
      } catch (error) {
        if (!(error instanceof FetchError)) throw error;
        hold(error.message.length <= 500 && /^[ -~]*$/.test(error.message), "an error that cannot be shown");
        return "refused";
      }
    },
  }),
};

/** The same text as a Link header and as a page of groups. */
function followed(text: string): void {
  const page = new URL("https://example.okta.com/api/v1/users/u/groups?limit=200");
  for (const links of [
    text,
    `<${text}>; rel="next"`,
    `<https://example.okta.com/api/v1/users/u/groups?after=${text}>; rel=next`,
  ]) {
    try {
      const next = nextPage(page, links);
      if (next !== undefined)
        hold(
          next.origin === page.origin && next.pathname === page.pathname && next.username === "",
          "it goes on elsewhere",
        );
    } catch (error) {
      if (!(error instanceof FetchError)) throw error;
    }
  }
  try {
    for (const group of groupsOf(page, Buffer.from(`[{"profile":{"name":${text}}}]`), "name")) {
      hold(typeof group === "string" && group !== "" && group.length <= 1024, "a group that is none");
    }
  } catch (error) {
    if (!(error instanceof FetchError)) throw error;
  }
}
