/** What the thread of signing.ts runs. It does not stand back: a request waits for each signature. */
import { sign } from "node:crypto";
import { parentPort } from "node:worker_threads";
import { headerOf } from "./jws.ts";
import type { SigningBatch, SigningKey } from "./signing-batch.ts";

const keys = new Map<string, SigningKey & { readonly header: string }>();

/** RFC 7515, section 3.1. */
function signed(claims: string, id: string | undefined): string {
  const key = keys.get(id ?? "");
  if (key === undefined) return "";
  try {
    const input = `${key.header}.${Buffer.from(claims).toString("base64url")}`;
    const signature =
      key.algorithm === "ES256"
        ? sign("sha256", Buffer.from(input), { key: key.key, dsaEncoding: "ieee-p1363" })
        : sign(null, Buffer.from(input), key.key);
    return `${input}.${signature.toString("base64url")}`;
  } catch {
    return "";
  }
}

function onBatch({ anew, keys: told, claims, lengths, keyIds }: SigningBatch): void {
  if (anew) keys.clear();
  for (const key of told) keys.set(key.id, { ...key, header: headerOf(key) });
  let end = 0;
  const tokens = lengths.map((length, i) => {
    const start = end;
    end += length;
    return `${signed(claims.slice(start, end), keyIds[i])}\n`;
  });
  parentPort?.postMessage(tokens.join(""));
}

parentPort?.on("message", onBatch);
