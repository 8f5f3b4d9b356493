import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { isSignedBy, strongKey } from "../../../agent/identity/certificate/signature.ts";
import { subjectOf } from "../../../agent/identity/certificate/suitability.ts";
import { ourView, rawOf, read, theirViewOf } from "../../identity/certificate-views.ts";
import { mutatedBytes } from "../mutate.ts";
import { hold, type Target } from "../target.ts";

const VECTORS = JSON.parse(readFileSync(new URL("../../vectors/certificates.json", import.meta.url), "utf8"));
const SOUND: readonly Buffer[] = Object.values(VECTORS.sound as Readonly<Record<string, string>>).map((text) =>
  Buffer.from(text, "base64"),
);

/** An authority, and what it has signed: the demo's. */
const [AUTHORITY, OWN] = ["devices-authority.pem", "scanner.pem"].map(derOf) as [Buffer, Buffer];

/** JavaScript's dates, by which asn1-x509 reads, take the year 60 for 1960. */
function isAncient({ from, until }: { readonly from: number; readonly until: number }): boolean {
  return Math.min(from, until) < Date.UTC(1000, 0);
}

function derOf(name: string): Buffer {
  const text = readFileSync(new URL(`../../../demo/certificates/${name}`, import.meta.url), "utf8");
  const [, body = ""] = /-----BEGIN CERTIFICATE-----([^-]+)/.exec(text) ?? [];
  return Buffer.from(body, "base64");
}

export const CERTIFICATES: Target = {
  name: "certificates",
  oracle:
    "Client certificates as DER: one that is read is read alike by node and by asn1-x509, in the one spelling that DER has; the authority's signature holds for what it has signed and for no other bytes; nobody is named but by what stands in it",
  tested: 1_500,
  share: 60,
  reaches: ["read", "refused", "signed"],
  open() {
    const key = strongKey(read(AUTHORITY)?.publicKey ?? OWN);
    if (key === undefined) throw new Error("no key");
    return {
      input: (random) => (random.once(40) ? OWN : mutatedBytes(random.once(4) ? OWN : random.pick(SOUND), random, 3)),
      check(input) {
        const certificate = read(input);
        if (certificate === undefined) return "refused";
        const raw = rawOf(input);
        hold(raw === undefined || raw.equals(input), "node takes something else for the whole");
        const theirs = theirViewOf(input);
        // Both look into keys and names that are passed over here: OpenSSL has done so before it comes to HAProxy.
        if (raw !== undefined && theirs !== undefined && !isAncient(certificate))
          hold(isDeepStrictEqual(ourView(certificate), theirs), "asn1-x509 reads something else");
        const signed = isSignedBy(certificate, key);
        hold(
          !signed || certificate.body.equals(read(OWN)?.body ?? Buffer.alloc(0)),
          "signed by an authority that has not signed it",
        );
        const subject = subjectOf(certificate, { identity: "dns", trustDomain: "" });
        if (typeof subject === "string")
          hold(
            certificate.names.dns.length === 1 && input.toString("latin1").toLowerCase().includes(subject),
            "named by what it does not say",
          );
        return signed ? "signed" : "read";
      },
    };
  },
};
