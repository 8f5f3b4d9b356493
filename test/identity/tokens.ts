import { createHmac, sign as signBytes } from "node:crypto";
import type { Algorithm } from "../../demo/provider.ts";
import type { Random } from "../protocol/mutate.ts";
import { type Kit, mallory, text } from "./forge.ts";

/** A token that a generator made, and what it did to it. */
export interface Made {
  readonly name: string;
  readonly token: string;
}

type Members = Record<string, unknown>;

const ODD: readonly unknown[] = [undefined, "", "x", 0, 1, -1, 1e15, 1.5, true, [], {}, ["x"], [1], { a: 1 }];

/** Values of header and claims that a provider, or an attacker who has it sign, could choose; good ones among them. */
function headerOf(kit: Kit, algorithm: Algorithm, random: Random): Members {
  const pick = <T>(values: readonly T[]) => values[random(values.length)] as T;
  const { kid } = kit.key(algorithm);
  const header: Members = { alg: algorithm, kid, typ: pick(["at+jwt", "JWT", "application/at+jwt", undefined]) };
  if (random(3) > 0) return header;
  const changes: readonly Members[] = [
    { typ: pick(["AT+JWT", "jwt", "application/jwt", "logout+jwt", "", 7, null]) },
    { kid: pick([undefined, "x", 7, "", kit.key(pick(["RS256", "ES256", "EdDSA"])).kid]) },
    { alg: pick(["none", "RS256", "ES256", "EdDSA", "Ed25519", "HS256", "PS256", "rs256", undefined, 7]) },
    { crit: pick([[], ["exp"], ["b64"], "b64", null]), b64: pick([true, false, undefined]) },
    { zip: "DEF", cty: "JWT", jku: kit.trap, x5c: ["AAAA"], jwk: mallory.publicKey.export({ format: "jwk" }) },
    { [pick(["enc", "exp", "x", "__proto__", "constructor"])]: pick(ODD) },
  ];
  return { ...header, ...pick(changes) };
}

function claimsOf(kit: Kit, random: Random): Members {
  const pick = <T>(values: readonly T[]) => values[random(values.length)] as T;
  const good = kit.claims({ jti: `${random(1e9)}` });
  if (random(3) === 0) return good;
  const now = Number(good.iat);
  const [past, future] = [now - random(100), now + random(100)];
  const changes: readonly Members[] = [
    { exp: pick([past, future, past + 0.5, future - 0.5, now - 30, now - 29, now - 31, 9e15, "9999999999"]) },
    { nbf: pick([past, future, now + 30, now + 31, 0, -1, 1e300, "0"]) },
    { iat: pick([past, future, now + 30, now + 31, 0, "0", [now]]) },
    { aud: pick(["api://orders", ["api://orders"], ["x", "api://orders"], ["x"], "x", [], {}, ["api://orders", 7]]) },
    { iss: pick([good.iss, `${good.iss}/`, [good.iss], "x", undefined, ""]) },
    { sub: pick(["alice", "Алиса", "", "a\nb", undefined, 7, ["alice"]]) },
    { groups: pick([["a"], "a", [], {}, 7]), scope: pick(["a b", ["a"], 7, {}]) },
    { act: pick([{ sub: "x" }, { sub: "x", act: { sub: "y" } }, "x", {}, []]), auth_time: pick([now, "now", 1.5]) },
    { nonce: "n", azp: pick(["spa", "api://orders", 7]), typ: pick(["ID", "Bearer", "Refresh"]) },
    { cnf: pick([{}, { jkt: "x" }, 7]) },
    { [pick(["exp", "nbf", "iat", "aud", "iss", "sub", "jti", "x"])]: pick(ODD) },
  ];
  return { ...good, ...pick(changes), ...(random(2) === 0 ? pick(changes) : {}) };
}

/** A JSON text as no library would write it: spaces, escapes, other spellings of numbers, members twice. */
function written(value: Members, random: Random): string | Buffer {
  const json = JSON.stringify(value);
  const [first = "x"] = Object.keys(value);
  switch (random(30)) {
    case 0:
      return ` ${json.replaceAll(",", " ,\n")}\t`;
    case 1:
      return json.replace(`"${first}"`, `"\\u00${first.charCodeAt(0).toString(16)}${first.slice(1)}"`);
    case 2:
      return json.replace(/:(\d+)([,}])/, ":$1.0e0$2");
    case 3:
      return json.replace("{", `{"${first}":"x",`);
    case 4:
      return json.replace(/}$/, `,"${first}":"x"}`);
    case 5:
      return json.replace(/}$/, random(2) === 0 ? ',"a":1e999}' : ',"a":"\\ud800"}');
    case 6:
      return random(2) === 0 ? `\uFEFF${json}` : Buffer.from(json.replace("{", '{"\xff":1,'), "latin1");
    default:
      return json;
  }
}

function signatureOf(kit: Kit, algorithm: Algorithm, input: string, random: Random): Buffer {
  const bytes = Buffer.from(input);
  const other = (["RS256", "ES256", "EdDSA"] as const)[random(3)] ?? "RS256";
  const by = (from: Algorithm) => {
    const key = { key: kit.key(from).private, dsaEncoding: random(20) === 0 ? "der" : "ieee-p1363" } as const;
    return signBytes(from === "EdDSA" ? null : "sha256", bytes, key);
  };
  const right = by(algorithm);
  switch (random(16)) {
    case 0:
      return by(other);
    case 1:
      return right.subarray(random(2));
    case 2:
      return Buffer.concat([random(2) === 0 ? Buffer.of(0) : Buffer.alloc(0), right, Buffer.of(0)]);
    case 3:
      return createHmac("sha256", kit.key("RS256").public.export({ type: "spki", format: "pem" }))
        .update(bytes)
        .digest();
    case 4:
      return signBytes("sha256", bytes, mallory.privateKey);
    case 5: {
      const flipped = Buffer.from(right);
      flipped[random(flipped.length)] = random(256);
      return flipped;
    }
    default:
      return right;
  }
}

/** The compact serialization, or nearly. */
function joined(segments: readonly string[], random: Random): string {
  const token = segments.join(".");
  const at = random(token.length);
  switch (random(24)) {
    case 0:
      return `${token}=`;
    case 1:
      return `${token.slice(0, at)}${"\n =.-_A"[random(7)]}${token.slice(at)}`;
    case 2:
      return token.slice(0, at) + "AQgwx-_"[random(7)] + token.slice(at + 1);
    case 3:
      return token.slice(0, at) + token.slice(at + 1);
    case 4:
      return token.replaceAll("_", "/").replaceAll("-", "+");
    default:
      return token;
  }
}

/** Tokens of the provider's own keys with odd headers, claims, spellings and signatures; some in ten are good. */
export function* newTokens(kit: Kit, random: Random, count: number): Generator<Made> {
  for (let n = 0; n < count; n++) {
    // RSA is slow to sign with.
    const algorithm = (["EdDSA", "ES256", "EdDSA", "ES256", "RS256"] as const)[random(5)] ?? "EdDSA";
    const [header, claims] = [headerOf(kit, algorithm, random), claimsOf(kit, random)];
    const input = `${text(written(header, random))}.${text(written(claims, random))}`;
    const signature = signatureOf(kit, algorithm, input, random).toString("base64url");
    const name = `${n}: ${JSON.stringify(header)} ${JSON.stringify(claims)}`;
    yield { name, token: joined([...input.split("."), signature], random) };
  }
}
