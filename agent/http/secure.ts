import { hash } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { LRUCache } from "lru-cache";

/** A certificate to show, with its key, as PEM texts. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

/** Made once: the system's certificate authorities take some 10 ms. */
const contexts = new LRUCache<string, SecureContext>({ max: 64 });

/**
 * What TLS trusts and shows.
 *
 * @param ca PEM text of the only certificate authorities to trust; undefined for those that Node brings
 * @param client what to show where it is asked for
 */
export function secureContext(ca: string | undefined, client: ClientCertificate | undefined): SecureContext {
  const name = hash("sha256", JSON.stringify([ca, client?.cert, client?.key]));
  const known = contexts.get(name);
  if (known !== undefined) return known;
  const context = createSecureContext({ ...(ca === undefined ? {} : { ca }), ...client });
  contexts.set(name, context);
  return context;
}
