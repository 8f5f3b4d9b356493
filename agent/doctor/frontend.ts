import type { X509Certificate } from "node:crypto";
import { X509Certificate as Certificate } from "node:crypto";
import { rootCertificates } from "node:tls";
import { dayOf, daysUntil, type Finding } from "./finding.ts";
import type { CertificateFile, Sources } from "./sources.ts";

/** Days before the end at which it is time. */
const SOON = 14;
const WEAKEST_RSA = 2048;

/** HAProxy's frontend certificates against the hosts of the policies. */
export function frontendFindings({ certificates, services, now }: Sources): readonly Finding[] {
  if (certificates === undefined) return [];
  const hosts = [...new Set(services.flatMap((service) => service.hosts))].filter((host) => /[a-z]/i.test(host));
  const leaves = certificates.flatMap(({ certificates: [leaf] }) => leaf ?? []);
  const nameless = hosts.filter((host) => !leaves.some((leaf) => names(leaf, host)));
  return [
    ...nameless.map((host) => ({
      at: host,
      found: "no certificate of HAProxy's names this host of the policies",
      causes: "clients refuse the connection, or take another service's certificate",
      remedy: "add a certificate for it to the `crt` of `bind`, or take the host out of the policies",
    })),
    ...certificates.flatMap((file) => fileFindings(file, now)),
  ];
}

/** `*.example.com` of a policy is one label or more; a certificate's is one. */
function names(leaf: X509Certificate, host: string): boolean {
  return leaf.checkHost(host.replace(/^\*/, "any")) !== undefined;
}

function fileFindings({ file, certificates, keyFits }: CertificateFile, now: number): readonly Finding[] {
  const [leaf, ...chain] = certificates;
  if (leaf === undefined) {
    const causes = "HAProxy does not start with it";
    return [{ at: file, found: "no certificate in it", causes, remedy: "certificate, chain and key in one PEM file" }];
  }
  return [
    ...validity(file, leaf, now, SOON, "clients refuse every connection"),
    ...leafFindings(file, leaf, chain, keyFits),
  ];
}

function leafFindings(
  at: string,
  leaf: X509Certificate,
  chain: readonly X509Certificate[],
  keyFits: boolean | undefined,
): readonly Finding[] {
  const found: Finding[] = [];
  if (keyFits === false) {
    found.push({
      at,
      found: "its key is another certificate's",
      causes: "HAProxy does not start",
      remedy: "the key that goes with it",
    });
  }
  if (/DNS:[^,]*\.serviceaccount\.identity\./.test(leaf.subjectAltName ?? "")) {
    found.push({
      at,
      found: "a mesh certificate for clients outside",
      causes: "browsers trust nobody of the mesh, it lasts a day, and its key is HAProxy's identity in the mesh",
      remedy: "a certificate of a public authority, or of your own for people",
    });
  }
  const bits = leaf.publicKey.asymmetricKeyDetails?.modulusLength ?? WEAKEST_RSA;
  if (bits < WEAKEST_RSA) {
    found.push({
      at,
      found: `an RSA key of ${bits} bits`,
      causes: "clients refuse it",
      remedy: `${WEAKEST_RSA} bits, or P-256`,
    });
  }
  if (!isComplete(leaf, chain)) {
    found.push({
      at,
      found: "the certificate of its issuer is neither behind it in the file nor a root that this machine trusts",
      causes: "clients that have not met the intermediate elsewhere refuse the connection",
      remedy: "the whole chain without the root, the leaf first",
    });
  }
  return found;
}

function isComplete(leaf: X509Certificate, [next]: readonly X509Certificate[]): boolean {
  if (next !== undefined) return leaf.checkIssued(next);
  if (leaf.checkIssued(leaf)) return true;
  return rootCertificates.some((root) => leaf.checkIssued(new Certificate(root)));
}

/** Whether a certificate is good now, and for how long. */
export function validity(
  at: string,
  certificate: X509Certificate,
  now: number,
  soon: number,
  causes: string,
): readonly Finding[] {
  const [from, until] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()];
  const remedy = "renew it";
  if (from > now)
    return [{ at, found: `not valid before ${dayOf(from)}`, causes, remedy: "wait, or correct this machine's clock" }];
  if (until <= now) return [{ at, found: `it expired on ${dayOf(until)}`, causes, remedy }];
  const days = daysUntil(until, now);
  return days < soon ? [{ at, found: `it expires in ${days} days`, causes: `then ${causes}`, remedy }] : [];
}
