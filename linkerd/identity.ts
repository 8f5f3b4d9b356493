import type { LinkerdInput } from "./input.ts";

/** The whole name of an identity that may be written short, `ACCOUNT.NAMESPACE`. */
export function wholeIdentity(identity: string, { trustDomain, controlPlane }: LinkerdInput["mesh"]): string {
  const short = /^[^.:/]+\.[^.:/]+$/.test(identity);
  return short ? `${identity}.serviceaccount.identity.${controlPlane}.${trustDomain}` : identity;
}
