import type { Finding } from "./finding.ts";
import { validity } from "./frontend.ts";
import type { Sources } from "./sources.ts";

/** As `linkerd check` has it. */
const SOON = 60;

/** The mesh's trust anchor and issuer, by themselves and against each other. */
export function meshFindings({ anchors, meshIssuer, now }: Sources): readonly Finding[] {
  const roots = anchors?.certificates ?? [];
  const [issuer] = meshIssuer?.certificates ?? [];
  const causes = "no proxy gets a certificate, and the mesh ends within a day";
  const found = roots.flatMap((root) =>
    validity(anchors?.file ?? "", root, now, SOON, "nobody in the mesh believes anybody"),
  );
  const at = meshIssuer?.file ?? "";
  if (issuer === undefined) return found;
  const faults: Finding[] = [];
  if (!issuer.ca) {
    faults.push({ at, found: "it is no authority", causes, remedy: "an intermediate of the trust anchor, `CA:TRUE`" });
  }
  const { asymmetricKeyType, asymmetricKeyDetails } = issuer.publicKey;
  if (asymmetricKeyType !== "ec" || asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    faults.push({
      at,
      found: `its key is ${asymmetricKeyType}, not ECDSA P-256`,
      causes: "linkerd-identity does not start with it",
      remedy: "a P-256 key",
    });
  }
  if (roots.length > 0 && !roots.some((root) => issuer.checkIssued(root) && issuer.verify(root.publicKey))) {
    const remedy = "an issuer that the anchor has signed; in a change of anchors, the bundle with both";
    faults.push({ at, found: "no trust anchor has signed it", causes: "proxies refuse each other", remedy });
  }
  return [...found, ...validity(at, issuer, now, SOON, causes), ...faults];
}
