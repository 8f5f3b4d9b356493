import { createSecureContext, type SecureContext } from "node:tls";
import { LRUCache } from "lru-cache";

/** A certificate to show, with its key, as PEM texts. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

/** Made once: the system's certificate authorities take some 10 ms. */
const contexts = new LRUCache<string, SecureContext>({ max: 64 });
/** Short names of long texts, which are not to be joined and hashed for every request. */
const authorities = new LRUCache<string, string>({ max: 64 });
let named = 0;

/**
 * What TLS trusts and shows.
 *
 * @param ca PEM text of the only certificate authorities to trust; undefined for those that Node brings
 * @param client what to show where it is asked for
 */
export function secureContext(ca: string | undefined, client: ClientCertificate | undefined): SecureContext {
  const name = `${ca === undefined ? "" : nameOf(ca)} ${client?.cert ?? ""} ${client?.key ?? ""}`;
  const known = contexts.get(name);
  if (known !== undefined) return known;
  const context = createSecureContext({ ...(ca === undefined ? {} : { ca }), ...client });
  contexts.set(name, context);
  return context;
}

function nameOf(ca: string): string {
  const known = authorities.get(ca);
  if (known !== undefined) return known;
  const name = String(++named);
  authorities.set(ca, name);
  return name;
}
