import type { BindingConfig, IssuerConfig } from "../config.ts";
import type { Section } from "../section.ts";

type Placed = Pick<IssuerConfig, "credentials" | "hops">;

/**
 * Reads how an issuer's tokens may be bound to a key, and whether they have to be. A token that is bound to a DPoP key
 * has a scheme of its own (RFC 9449, section 7.1), beside that of the others.
 *
 * @param placed where its tokens stand
 */
export function readBinding<Read extends Placed>(section: Section, placed: Read): Read & BindingConfig {
  const proofs = section.texts("proofs").filter((name) => name === "dpop" || name === "certificate");
  const unbound = section.choice<BindingConfig["unbound"]>("unbound");
  const written = section.value("proofs");
  if (unbound === "refuse" && Array.isArray(written) && written.length === 0) {
    section.fault(["unbound"], "`proofs` beside it, such as [dpop]: else no token would be taken, bound or not");
  }
  if (!proofs.includes("dpop")) return { ...placed, proofs, unbound };
  if (!placed.credentials.includes("bearer")) {
    const right = "`authorization` among its `credentials`: a token with a DPoP proof stands in no other place";
    section.fault(["proofs", proofs.indexOf("dpop")], right);
  }
  return { ...placed, credentials: [...placed.credentials, "dpop"], proofs, unbound };
}
