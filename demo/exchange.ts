import { createLocalJWKSet, type JWK, jwtVerify } from "jose";
import { type Context, errors, type Provider } from "oidc-provider";

/** RFC 8693, section 2.1. */
export const EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";
/** Whom tokens can be exchanged for. */
const AUDIENCES: readonly string[] = ["api://inventory", "api://billing"];
const PARAMETERS = [
  ...["subject_token", "subject_token_type", "requested_token_type", "audience", "scope"],
  ...["actor_token", "actor_token_type"],
];

/**
 * The token exchange that oidc-provider comes without (RFC 8693), as a grant of its own: the provider's JWTs for one
 * audience become JWTs for another, in which `act` is the client that has asked.
 */
export function registerExchange(provider: Provider, issuer: string, jwks: readonly JWK[]): void {
  const keys = createLocalJWKSet({ keys: [...jwks] });
  const grant = async (context: Context) => {
    const { subject_token = "", subject_token_type, audience = "", scope } = context.oidc.params;
    if (subject_token_type !== ACCESS_TOKEN) throw new errors.InvalidGrant("not an access token");
    const { payload } = await jwtVerify(subject_token, keys, { issuer }).catch(() => {
      throw new errors.InvalidGrant("no good token");
    });
    if (!AUDIENCES.includes(audience)) throw new errors.InvalidTarget();
    const { client } = context.oidc;
    const token = new provider.AccessToken({ client, accountId: payload.sub, scope, gty: EXCHANGE_GRANT });
    token.resourceServer = new provider.ResourceServer(audience, {
      ...{ audience, scope, accessTokenFormat: "jwt", accessTokenTTL: 300, jwt: { sign: { alg: "RS256" } } },
    });
    context.oidc.entity("AccessToken", token);
    const access_token = await token.save();
    const said = { issued_token_type: ACCESS_TOKEN, token_type: "Bearer", expires_in: token.expiration, scope };
    context.body = { access_token, ...said };
  };
  provider.registerGrantType(EXCHANGE_GRANT, grant, PARAMETERS);
}
