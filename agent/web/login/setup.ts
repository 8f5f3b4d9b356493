import type { Config } from "../../config/config.ts";
import { isOidc } from "../../identity/oidc/section.ts";
import type { LoginSetup } from "./logins.ts";

/** What people log in by; undefined where a configuration has no such thing. */
export function loginSetup({ sessions, issuers }: Pick<Config, "sessions" | "issuers">): LoginSetup | undefined {
  if (sessions === undefined) return undefined;
  const providers = issuers
    .filter(isOidc)
    .flatMap((issuer) => (issuer.login === undefined ? [] : [{ ...issuer, login: issuer.login }]));
  return providers.length === 0 ? undefined : { sessions, issuers: providers };
}
