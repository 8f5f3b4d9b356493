import { constructedTag, Der, DerError, TAG } from "./der.ts";
import { EXTENSION, readAuthorityKeyId, readExtensions, readSigned, type Signed, sameAlgorithm } from "./x509.ts";

/** A list of the certificates that one authority has taken back (RFC 5280, section 5), read and not verified. */
export interface Revocations extends Signed {
  /** The authority's name as DER. */
  readonly issuer: Buffer;
  readonly authorityKeyId: Buffer | undefined;
  /** Milliseconds since the epoch between which it says anything. */
  readonly from: number;
  readonly until: number;
  /** Serial numbers in hexadecimal digits, as a certificate has them. */
  readonly serials: ReadonlySet<string>;
}

const NUMBER = "2.5.29.20";
/** Extensions of a list that change nothing of what it says. */
const HARMLESS: readonly string[] = [NUMBER, EXTENSION.authorityKeyId];

/**
 * Reads a list of revocations that fills its bytes.
 *
 * @throws DerError where it is none; where it does not say when the next one comes; and where it is about some
 * certificates only, or somebody else's: then it is critical for something that is not understood here (section 5.2)
 */
export function readRevocations(der: Buffer): Revocations {
  const whole = new Der(der);
  const signed = readSigned(whole.inside(TAG.sequence));
  whole.finish();
  const body = new Der(signed.body).inside(TAG.sequence);
  if (body.tag === TAG.integer && body.small() !== 1) throw new DerError("version 2");
  sameAlgorithm(body, signed);
  const issuer = body.whole(TAG.sequence);
  const [from, until] = [body.time(), body.time()];
  const serials = readSerials(body.optional(TAG.sequence));
  const extensions = body.done ? new Map() : readExtensions(body.inside(constructedTag(0)));
  body.finish();
  for (const [id, { critical }] of extensions) {
    if (critical && !HARMLESS.includes(id)) throw new DerError("a list of all revocations");
  }
  const named = extensions.get(EXTENSION.authorityKeyId);
  const authorityKeyId = named === undefined ? undefined : readAuthorityKeyId(new Der(named.value));
  return { ...signed, issuer, authorityKeyId, from, until, serials };
}

/** Why and since when does not matter: what stands in the list is revoked. */
function readSerials(list: Der | undefined): ReadonlySet<string> {
  const serials = new Set<string>();
  while (list !== undefined && !list.done) {
    const entry = list.inside(TAG.sequence);
    serials.add(entry.integer());
    entry.time();
    if (!entry.done) checkEntry(entry.whole(TAG.sequence));
    entry.finish();
  }
  return serials;
}

/** One that says whose the certificate is makes those after it somebody else's (section 5.3.3). */
function checkEntry(extensions: Buffer): void {
  const list = new Der(extensions).inside(TAG.sequence);
  while (!list.done) {
    const one = list.inside(TAG.sequence);
    one.oid();
    if (one.tag === TAG.boolean && one.boolean()) throw new DerError("a list of all revocations");
    one.content(TAG.octetString);
    one.finish();
  }
}
