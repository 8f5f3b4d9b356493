import type { LinkerdInput } from "./input.ts";

/** The whole name of an identity that may be written short, `ACCOUNT.NAMESPACE`. */
export function wholeIdentity(
  identity: string,
  { trustDomain, controlPlane }: Pick<LinkerdInput["mesh"], "trustDomain" | "controlPlane">,
): string {
  const short = /^[^.:/]+\.[^.:/]+$/.test(identity);
  return short ? `${identity}.serviceaccount.identity.${controlPlane}.${trustDomain}` : identity;
}

/** Whom Linkerd has named so: a service account. */
export interface MeshIdentity {
  readonly account: string;
  readonly namespace: string;
  /** The namespace of the control plane. */
  readonly controlPlane: string;
  readonly trustDomain: string;
}

const LABEL = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?";
// A service account may have dots in its name, a namespace has none.
const IDENTITY = new RegExp(
  `^(${LABEL}(?:\\.${LABEL})*)\\.(${LABEL})\\.serviceaccount\\.identity\\.(${LABEL})\\.(${LABEL}(?:\\.${LABEL})*)$`,
);
/** A DNS name (RFC 1035, section 2.3.4). */
const LONGEST = 253;

/** Reads the whole name of a service account, as proxies have it in their certificates; undefined for every other text. */
export function meshIdentity(text: string): MeshIdentity | undefined {
  const [whole, account = "", namespace = "", controlPlane = "", trustDomain = ""] =
    text.length > LONGEST ? [] : (IDENTITY.exec(text) ?? []);
  // Twice in one name, and it could be read in two ways.
  if (whole === undefined || text.split(".serviceaccount.identity.").length !== 2) return undefined;
  return { account, namespace, controlPlane, trustDomain };
}
