import { sign as signBytes } from "node:crypto";
import type { Reason } from "../../policies/decision.ts";
import {
  confused,
  encrypted,
  forged,
  json,
  type Kit,
  mallory,
  pem,
  resigned,
  respelled,
  segmentsOf,
  text,
} from "./forge.ts";

/** A token that must be refused, and why. The names say what each tries. */
export type Attack = readonly [name: string, reason: Reason, token: (kit: Kit) => string | Promise<string>];

export const STRUCTURE: readonly Attack[] = [
  ["nothing", "token-malformed", () => ""],
  ["dots", "token-malformed", () => ".."],
  ["one segment", "token-malformed", () => "opaque-access-token"],
  ["two segments", "token-malformed", async (kit) => (await segmentsOf(kit)).slice(0, 2).join(".")],
  ["four segments", "token-malformed", async (kit) => `${await kit.signed()}.AAAA`],
  ["six segments", "token-malformed", async (kit) => `${await kit.signed()}.AAAA.AAAA.AAAA`],
  [
    "JSON serialization",
    "token-malformed",
    async (kit) => {
      const [head, payload, signature] = await segmentsOf(kit);
      return JSON.stringify({ protected: head, payload, signature });
    },
  ],
  ["a JWE for the issuer's own key", "token-encrypted", (kit) => encrypted(kit, {})],
  [
    "a JWE that inflates",
    "token-encrypted",
    (kit) => `${json({ alg: "dir", enc: "A256GCM", zip: "DEF" })}..AAAA.AAAA.${kit.trap.length}`,
  ],
  [
    "a JWE that wants a billion rounds",
    "token-encrypted",
    () => `${json({ alg: "PBES2-HS256+A128KW", enc: "A128GCM", p2c: 1e9, p2s: "AAAA" })}.AAAA.AAAA.AAAA.AAAA`,
  ],
  ["a JWS that says it is a JWE", "token-encrypted", (kit) => kit.signed({}, { enc: "A256GCM" })],
  ["a letter that is none of ASCII", "token-malformed", async (kit) => (await kit.signed()).replace("e", "\u0165")],
  ["another separator", "token-malformed", async (kit) => (await kit.signed()).replace(".", "~")],
  ["a separator that no token has", "token-malformed", async (kit) => (await kit.signed()).replace(".", ":")],
  ["padding", "token-malformed", async (kit) => (await segmentsOf(kit)).join("=.")],
  ["padding at the end", "token-malformed", async (kit) => `${await kit.signed()}==`],
  ["a line break in the signature", "token-malformed", async (kit) => (await kit.signed()).replace(/.{9}$/, "\n$&")],
  ["a space in the payload", "token-malformed", async (kit) => (await kit.signed()).replace(".", ". ")],
  ["a NUL at the end", "token-malformed", async (kit) => `${await kit.signed()}\0`],
  [
    "plain base64 letters",
    "token-malformed",
    async (kit) => {
      const [head, , signature] = await segmentsOf(kit);
      return `${head}.${text(`{"a":"${"??>>".repeat(9)}"}`)
        .replaceAll("_", "/")
        .replaceAll("-", "+")}.${signature}`;
    },
  ],
  [
    "another spelling of the signature",
    "token-malformed",
    async (kit) => {
      const [head, payload, signature] = await segmentsOf(kit);
      return `${head}.${payload}.${respelled(signature)}`;
    },
  ],
  [
    "another spelling of the payload",
    "token-malformed",
    (kit) => {
      const [head = "", payload = "", signature = ""] = kit.raw(undefined, `{"a":"12"}`).split(".");
      return `${head}.${respelled(payload)}.${signature}`;
    },
  ],
  [
    "a segment that encodes no whole byte",
    "token-malformed",
    async (kit) => `${await kit.signed()}`.replace(/\.[^.]*$/, ".AAAAA"),
  ],
  ["a header that is no JSON", "token-malformed", (kit) => kit.raw("{alg:RS256}", "{}")],
  ["a header that is a list", "token-malformed", (kit) => kit.raw(`["RS256"]`, "{}")],
  ["a header that is null", "token-malformed", (kit) => kit.raw("null", "{}")],
  ["claims that are a list", "token-malformed", (kit) => kit.raw(undefined, "[]")],
  ["claims that are a string", "token-malformed", (kit) => kit.raw(undefined, `"sub"`)],
  ["a nested JWT", "token-malformed", async (kit) => kit.raw(undefined, await kit.signed())],
  [
    "claims that are not UTF-8",
    "token-malformed",
    (kit) => kit.raw(undefined, Buffer.from(`{"sub":"\xff"}`, "latin1")),
  ],
  ["a byte order mark", "token-malformed", (kit) => kit.raw(undefined, `\uFEFF${JSON.stringify(kit.claims())}`)],
  ["half a surrogate", "token-malformed", (kit) => kit.signed({ sub: "\ud800" })],
  ["half a surrogate deep down", "token-malformed", (kit) => kit.signed({ a: [{ "\udfff": 1 }] })],
  ["deep claims", "token-malformed", (kit) => kit.raw(undefined, `{"a":${"[".repeat(2000)}${"]".repeat(2000)}}`)],
  [
    "`alg` twice",
    "token-malformed",
    (kit) => kit.raw(`{"alg":"none","kid":"${kit.key("RS256").kid}","alg":"RS256"}`, JSON.stringify(kit.claims())),
  ],
  [
    "`sub` twice",
    "token-malformed",
    (kit) => kit.raw(undefined, `{"sub":"root",${JSON.stringify(kit.claims()).slice(1)}`),
  ],
  [
    "`sub` twice, once in disguise",
    "token-malformed",
    (kit) => kit.raw(undefined, `{"\\u0073ub":"root",${JSON.stringify(kit.claims()).slice(1)}`),
  ],
  [
    "a name twice within a claim",
    "token-malformed",
    (kit) => kit.raw(undefined, `{"realm":{"a":":","b":"\\":","a":2},${JSON.stringify(kit.claims()).slice(1)}`),
  ],
  [
    "a claim `__proto__`",
    "token-malformed",
    (kit) => kit.raw(undefined, `{"__proto__":{"groups":["Admins"]},${JSON.stringify(kit.claims()).slice(1)}`),
  ],
  ["a header member `__proto__`", "token-malformed", (kit) => kit.raw(`{"__proto__":{"alg":"none"}}`, "{}")],
  ["larger than allowed", "token-too-large", (kit) => kit.signed({ filler: "x".repeat(9000) })],
];

export const ALGORITHM: readonly Attack[] = [
  ...["none", "None", "NONE", "nOnE"].map(
    (alg): Attack => [
      `alg ${alg} without a signature`,
      alg === "none" ? "algorithm-refused" : "token-malformed",
      (kit) => `${json({ alg, typ: "at+jwt" })}.${json(kit.claims())}.`,
    ],
  ),
  [
    "alg none behind a good signature",
    "algorithm-refused",
    (kit) => kit.raw(`{"alg":"none"}`, JSON.stringify(kit.claims())),
  ],
  [
    "alg NONE behind a good signature",
    "algorithm-refused",
    (kit) => kit.raw(`{"alg":"NONE"}`, JSON.stringify(kit.claims())),
  ],
  ["no signature", "token-malformed", async (kit) => (await kit.signed()).replace(/[^.]*$/, "")],
  ["no alg", "token-malformed", (kit) => kit.raw(`{"typ":"JWT"}`, JSON.stringify(kit.claims()))],
  ["alg is a list", "token-malformed", (kit) => kit.raw(`{"alg":["RS256"]}`, JSON.stringify(kit.claims()))],
  ["alg in lower case", "algorithm-refused", (kit) => kit.raw(`{"alg":"rs256"}`, JSON.stringify(kit.claims()))],
  ["alg with a space", "algorithm-refused", (kit) => kit.raw(`{"alg":"RS256 "}`, JSON.stringify(kit.claims()))],
  ["alg `__proto__`", "algorithm-refused", (kit) => kit.raw(`{"alg":"__proto__"}`, JSON.stringify(kit.claims()))],
  ...["HS256", "HS384", "HS512", "HS256 "].map(
    (alg): Attack => [`${alg} with the public key's PEM`, "algorithm-refused", (kit) => confused(kit, alg, pem(kit))],
  ),
  ["HS256 with the PEM and a space", "algorithm-refused", (kit) => confused(kit, "HS256", ` ${pem(kit)}`)],
  ["HS256 with the PEM and no line break", "algorithm-refused", (kit) => confused(kit, "HS256", pem(kit).trim())],
  ["HS256 with the PEM and one more", "algorithm-refused", (kit) => confused(kit, "HS256", `${pem(kit)}\n`)],
  [
    "HS256 with the DER",
    "algorithm-refused",
    (kit) => confused(kit, "HS256", kit.key("RS256").public.export({ type: "spki", format: "der" })),
  ],
  [
    "HS256 with the JWK",
    "algorithm-refused",
    (kit) => confused(kit, "HS256", JSON.stringify(kit.key("RS256").public.export({ format: "jwk" }))),
  ],
  [
    "HS256 with the modulus",
    "algorithm-refused",
    (kit) =>
      confused(kit, "HS256", Buffer.from(kit.key("RS256").public.export({ format: "jwk" }).n ?? "", "base64url")),
  ],
  ["HS256 with nothing", "algorithm-refused", (kit) => confused(kit, "HS256", "")],
  [
    "an algorithm that the issuer is not allowed",
    "algorithm-refused",
    (kit) => kit.signed({}, { alg: "PS256" }).catch(() => kit.raw(`{"alg":"PS256"}`, JSON.stringify(kit.claims()))),
  ],
  [
    "ES256 on an RSA key",
    "algorithm-refused",
    (kit) =>
      kit.signed({}, { alg: "RS256" }).then((token) => {
        const [, payload, signature] = token.split(".");
        return `${json({ alg: "ES256", kid: kit.key("RS256").kid })}.${payload}.${signature}`;
      }),
  ],
  [
    "RS256 on an EC key",
    "algorithm-refused",
    (kit) => kit.raw(`{"alg":"RS256","kid":"${kit.key("ES256").kid}"}`, JSON.stringify(kit.claims())),
  ],
  [
    "a critical extension",
    "token-malformed",
    (kit) => kit.raw(`{"alg":"RS256","crit":["exp"],"exp":1}`, JSON.stringify(kit.claims())),
  ],
  ["an empty crit", "token-malformed", (kit) => kit.raw(`{"alg":"RS256","crit":[]}`, JSON.stringify(kit.claims()))],
  ["crit is null", "token-malformed", (kit) => kit.raw(`{"alg":"RS256","crit":null}`, JSON.stringify(kit.claims()))],
  ["an unencoded payload", "token-malformed", (kit) => kit.signed({}, { b64: true, crit: ["b64"] })],
  ["b64 alone", "token-malformed", (kit) => kit.raw(`{"alg":"RS256","b64":false}`, JSON.stringify(kit.claims()))],
];

export const SIGNATURE: readonly Attack[] = [
  ["another key with the issuer's kid", "signature-invalid", (kit) => forged(kit, {})],
  ["an embedded key", "signature-invalid", (kit) => forged(kit, { jwk: mallory.publicKey.export({ format: "jwk" }) })],
  [
    "an embedded key, its own kid",
    "key-unknown",
    (kit) => forged(kit, { kid: "mine", jwk: { ...mallory.publicKey.export({ format: "jwk" }), kid: "mine" } }),
  ],
  [
    "an embedded key, no kid",
    "signature-invalid",
    (kit) => forged(kit, { kid: undefined, jwk: mallory.publicKey.export({ format: "jwk" }) }),
  ],
  ["a jku", "signature-invalid", (kit) => forged(kit, { jku: `${kit.trap}/jwks` })],
  ["a jku and its own kid", "key-unknown", (kit) => forged(kit, { kid: "mine", jku: `${kit.trap}/jwks` })],
  ["an x5u", "signature-invalid", (kit) => forged(kit, { x5u: `${kit.trap}/chain.pem` })],
  [
    "an x5c",
    "signature-invalid",
    (kit) => forged(kit, { x5c: [mallory.publicKey.export({ type: "spki", format: "der" }).toString("base64")] }),
  ],
  ...["nobody", "../../../../dev/null", "/dev/null", "' OR 1=1 --", "__proto__", "constructor", "", "0"].map(
    (kid): Attack => [`kid ${JSON.stringify(kid)}`, "key-unknown", (kit) => forged(kit, { kid })],
  ),
  ["kid is a number", "token-malformed", (kit) => forged(kit, { kid: 0 })],
  ["kid is an object", "token-malformed", (kit) => forged(kit, { kid: { toString: "x" } })],
  ["kid of 4,000 characters", "token-malformed", (kit) => forged(kit, { kid: "k".repeat(4000) })],
  ["a signature of zeros, RS256", "signature-invalid", (kit) => resigned(kit, "RS256", () => Buffer.alloc(256))],
  ["a signature of one, RS256", "signature-invalid", (kit) => resigned(kit, "RS256", () => Buffer.alloc(256, 1))],
  ["psychic: r and s are zero, ES256", "signature-invalid", (kit) => resigned(kit, "ES256", () => Buffer.alloc(64))],
  [
    "a DER signature, ES256",
    "signature-invalid",
    (kit) => resigned(kit, "ES256", (input) => signBytes("sha256", input, kit.key("ES256").private)),
  ],
  [
    "r and s are the order, ES256",
    "signature-invalid",
    (kit) =>
      resigned(kit, "ES256", () =>
        Buffer.from("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551".repeat(2), "hex"),
      ),
  ],
  ["a signature of zeros, EdDSA", "signature-invalid", (kit) => resigned(kit, "EdDSA", () => Buffer.alloc(64))],
  [
    "a signature cut short",
    "signature-invalid",
    (kit) => resigned(kit, "RS256", (input) => signBytes("sha256", input, kit.key("RS256").private).subarray(0, 255)),
  ],
  ["a signature made longer", "signature-invalid", async (kit) => `${(await kit.signed()).slice(0, -2)}AAAA`],
  [
    "the signature of another token",
    "signature-invalid",
    async (kit) => {
      const [head, payload] = await segmentsOf(kit);
      return `${head}.${payload}.${(await kit.signed({ sub: "bob" })).split(".")[2]}`;
    },
  ],
  [
    "other claims",
    "signature-invalid",
    async (kit) => {
      const [head, , signature] = await segmentsOf(kit);
      return `${head}.${json(kit.claims({ groups: ["Admins"] }))}.${signature}`;
    },
  ],
  [
    "another header",
    "signature-invalid",
    async (kit) => {
      const [, payload, signature] = await segmentsOf(kit);
      return `${json({ alg: "RS256", kid: kit.key("RS256").kid, typ: "JWT" })}.${payload}.${signature}`;
    },
  ],
];

export const CLAIMS: readonly Attack[] = [
  ...[
    "dpop+jwt",
    "logout+jwt",
    "secevent+jwt",
    "oauth-id-jag+jwt",
    "txntoken+jwt",
    "token-introspection+jwt",
    "oauth-authz-req+jwt",
    "client-authentication+jwt",
    "wit+jwt",
    "aa-agent+jwt",
    "id_token+jwt",
    "jwt2",
    "application/",
    "",
    "at",
    // Whatever their case, and by the media type in full (RFC 7515, section 4.1.9).
    ...["oauth-id-jag", "txntoken", "token-introspection", "logout", "dpop", "oauth-client-attestation"].flatMap(
      (name) => [`application/${name}+jwt`, `${name.toUpperCase()}+JWT`, `Application/${name}+Jwt`],
    ),
    "oauth-client-attestation+jwt",
    "oauth-client-attestation-pop+jwt",
    "entity-statement+jwt",
    "kb+jwt",
  ].map((typ): Attack => [`typ ${JSON.stringify(typ)}`, "token-type", (kit) => kit.signed({}, { typ })]),
  ["typ is a number", "token-malformed", (kit) => kit.raw(`{"alg":"RS256","typ":7}`, JSON.stringify(kit.claims()))],
  ["no iss", "claim-missing", (kit) => kit.signed({ iss: undefined })],
  ["iss is a list", "claim-malformed", (kit) => kit.signed({ iss: [kit.provider.issuer] })],
  ["iss with a slash", "issuer-unknown", (kit) => kit.signed({ iss: `${kit.provider.issuer}/` })],
  ["iss in upper case", "issuer-unknown", (kit) => kit.signed({ iss: kit.provider.issuer.toUpperCase() })],
  ["iss with a space", "issuer-unknown", (kit) => kit.signed({ iss: `${kit.provider.issuer} ` })],
  ["iss of somebody else", "issuer-unknown", (kit) => kit.signed({ iss: "https://evil.example" })],
  ["iss `__proto__`", "issuer-unknown", (kit) => kit.signed({ iss: "__proto__" })],
  ["no aud", "claim-missing", (kit) => kit.signed({ aud: undefined })],
  ["another aud", "audience-not-accepted", (kit) => kit.signed({ aud: "api://billing" })],
  ["a longer aud", "audience-not-accepted", (kit) => kit.signed({ aud: "api://orders.evil.example" })],
  ["a shorter aud", "audience-not-accepted", (kit) => kit.signed({ aud: "api://" })],
  ["other auds", "audience-not-accepted", (kit) => kit.signed({ aud: ["api://billing", "api://orders/"] })],
  ["no auds", "audience-not-accepted", (kit) => kit.signed({ aud: [] })],
  ["aud is an object", "claim-malformed", (kit) => kit.signed({ aud: { "api://orders": true } })],
  ["aud holds a number", "claim-malformed", (kit) => kit.signed({ aud: ["api://orders", 1] })],
  ["aud holds a list", "claim-malformed", (kit) => kit.signed({ aud: [["api://orders"]] })],
  ["no exp", "claim-missing", (kit) => kit.signed({ exp: undefined })],
  ["exp is text", "claim-malformed", (kit) => kit.signed({ exp: "9999999999" })],
  ["exp is null", "claim-malformed", (kit) => kit.signed({ exp: null })],
  ["exp is true", "claim-malformed", (kit) => kit.signed({ exp: true })],
  [
    "exp is infinite",
    "token-malformed",
    (kit) => kit.raw(undefined, JSON.stringify(kit.claims({ exp: 0 })).replace(`"exp":0`, `"exp":1e999`)),
  ],
  ["exp is beyond all dates", "claim-malformed", (kit) => kit.signed({ exp: 1e15 })],
  ["exp is a number that was rounded", "token-malformed", (kit) => kit.signed({ exp: 1e300 })],
  [
    "a claim is an integer beyond 64 bits",
    "token-malformed",
    (kit) => kit.raw(undefined, JSON.stringify(kit.claims({ n: 0 })).replace(`"n":0`, `"n":9223372036854775808`)),
  ],
  ["exp in milliseconds, of long ago", "claim-malformed", (kit) => kit.signed({ exp: 1e13 })],
  ["expired", "token-expired", (kit) => kit.signed({ exp: Math.floor(Date.now() / 1000) - 60 })],
  ["expired before all dates", "token-expired", (kit) => kit.signed({ exp: -1 })],
  ["nbf to come", "token-not-yet-valid", (kit) => kit.signed({ nbf: Math.floor(Date.now() / 1000) + 90 })],
  ["nbf is text", "claim-malformed", (kit) => kit.signed({ nbf: "0" })],
  ["iat to come", "token-not-yet-valid", (kit) => kit.signed({ iat: Math.floor(Date.now() / 1000) + 90 })],
  ["iat is a list", "claim-malformed", (kit) => kit.signed({ iat: [0] })],
  [
    "bound to a DPoP key",
    "proof-missing",
    (kit) => kit.signed({ cnf: { jkt: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }),
  ],
  [
    "bound to a certificate",
    "proof-missing",
    (kit) => kit.signed({ cnf: { "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" } }),
  ],
  ["bound to nothing known", "proof-missing", (kit) => kit.signed({ cnf: {} })],
  ["bound to null", "proof-missing", (kit) => kit.signed({ cnf: null })],
];

/** ID tokens as providers write them, signed with the key of the access tokens, for a client that is the audience. */
export const ID_TOKENS: readonly (readonly [name: string, claims: Record<string, unknown>])[] = [
  ["Keycloak's ID token", { typ: "ID", azp: "api://orders", at_hash: "x", sid: "s" }],
  ["Keycloak's, by its payload's typ alone", { typ: "ID" }],
  ["Cognito's ID token", { token_use: "id", "cognito:username": "alice" }],
  ["a nonce, and aud is azp", { nonce: "n", azp: "api://orders" }],
  ["a nonce, and aud is client_id", { nonce: "n", client_id: "api://orders" }],
  ["a nonce, and azp is one of aud", { nonce: "n", azp: "spa", aud: ["api://orders", "spa"] }],
  ["a nonce, and no client (Auth0, Entra ID)", { nonce: "n" }],
  ["the hash of an access token", { at_hash: "MTIzNDU2Nzg5MDEyMzQ1Ng" }],
  ["the hash of a code", { c_hash: "MTIzNDU2Nzg5MDEyMzQ1Ng", azp: "api://orders" }],
  ["the hash of a state", { s_hash: "MTIzNDU2Nzg5MDEyMzQ1Ng", azp: "api://orders" }],
  ["a mark that is no text", { at_hash: 7 }],
];

/** Other tokens that share the key and are none for access, whatever the issuer is configured for. */
const OTHERS: readonly (readonly [name: string, claims: Record<string, unknown>])[] = [
  ["Keycloak's refresh token", { typ: "Refresh" }],
  ["Keycloak's offline token", { typ: "Offline" }],
  ["Keycloak's logout token", { typ: "Logout" }],
  ["a refresh token by token_use", { token_use: "refresh" }],
  ["a logout token", { events: { "http://schemas.openid.net/event/backchannel-logout": {} } }],
  ["a security event token (RFC 8417)", { events: {} }],
];

export const PURPOSE: readonly Attack[] = [...ID_TOKENS, ...OTHERS].map(
  ([name, claims]): Attack => [name, "token-not-access", (kit) => kit.signed(claims, { typ: "JWT" })],
);
