/** What an explanation has something to say about where a provider is known. */
export type Topic = "audience" | "subject" | "issuer" | "purpose" | "opaque";

/** An OpenID provider whose ways are known: docs/identities/oidc.md has a section for each. */
export interface Provider {
  readonly name: string;
  /** What its issuers' URLs have in common. */
  readonly issuer: RegExp;
  /** What to do at the provider, or with it. */
  readonly advice: Readonly<Partial<Record<Topic, string>>>;
}

const ACCESS_TOKEN = "let the client send `access_token` of the provider's answer, not `id_token`";

export const PROVIDERS: readonly Provider[] = [
  {
    name: "Keycloak",
    issuer: /\/realms\/[^/]+$/,
    advice: {
      audience:
        "Keycloak puts no API into `aud` by itself (nothing, or `account`): add a mapper of the type Audience to the client, or to a client scope that it has, with one of these as Included Custom Audience and Add to access token on",
      subject: "from Keycloak 25 on `sub` comes with the client scope `basic`: give it to the client",
      issuer: "Keycloak writes `iss` by the host that it was asked at: fix it with KC_HOSTNAME",
      purpose: ACCESS_TOKEN,
    },
  },
  {
    name: "Okta",
    issuer: /^https:\/\/[^/]+\.(?:okta|oktapreview|okta-emea)\.com(?:\/|$)/,
    advice: {
      audience: "Okta's `aud` is the audience of the authorization server: set it there, or name it in `audiences`",
      issuer:
        "tokens whose `iss` has no /oauth2/ are of Okta's org authorization server and for Okta alone: let the client use a custom one, such as /oauth2/default",
      purpose: ACCESS_TOKEN,
    },
  },
  {
    name: "Microsoft Entra ID",
    issuer: /^https:\/\/(?:login\.microsoftonline\.(?:com|us)|sts\.windows\.net)\//,
    advice: {
      audience:
        "let the client ask for a scope of your own API, such as api://APP/.default; `aud` is then the API's client id in tokens of version 2, its App ID URI in those of version 1",
      issuer:
        "tokens of version 1 have https://sts.windows.net/TENANT/, those of version 2 https://login.microsoftonline.com/TENANT/v2.0: set `requestedAccessTokenVersion` of the API's app registration to 2",
      purpose: ACCESS_TOKEN,
    },
  },
  {
    name: "Auth0",
    issuer: /^https:\/\/[^/]+\.auth0\.com\/?$/,
    advice: {
      audience: "let the client ask with `audience`, the API's identifier",
      issuer: "Auth0's `iss` ends in a slash",
      opaque: "Auth0 gives an opaque token where the client asks without `audience`",
      purpose: ACCESS_TOKEN,
    },
  },
  {
    name: "Amazon Cognito",
    issuer: /^https:\/\/cognito-idp\.[^/]+\//,
    advice: {
      audience:
        "Cognito's access tokens have `client_id`, and `aud` only for a resource that was asked for: `preset: cognito`, with the client's id in `audiences`",
      purpose: ACCESS_TOKEN,
    },
  },
  {
    name: "Google",
    issuer: /^https:\/\/accounts\.google\.com$/,
    advice: {
      opaque: "Google's access tokens are opaque; its ID tokens are what others can check: `id_tokens: accept`",
      purpose: "Google gives others nothing but ID tokens: `id_tokens: accept`, with the client's id in `audiences`",
    },
  },
  {
    name: "Zitadel",
    issuer: /^https:\/\/[^/]+\.zitadel\.cloud$/,
    advice: {
      audience: "let the client ask for the scope urn:zitadel:iam:org:project:id:PROJECT:aud",
      opaque: "set the application's access token type to JWT",
      purpose: ACCESS_TOKEN,
    },
  },
  {
    name: "authentik",
    issuer: /\/application\/o\/[^/]+\/$/,
    advice: {
      audience: "authentik's `aud` is the client id and can be nothing else: name it in `audiences`",
      purpose: "authentik's access tokens are made like ID tokens: `id_tokens: accept`",
    },
  },
  {
    name: "Dex",
    issuer: /\/dex$/,
    advice: {
      audience: "Dex's `aud` is the client id: name it in `audiences`",
      purpose: "Dex's access tokens are made like ID tokens: `id_tokens: accept`",
    },
  },
  {
    name: "PingOne",
    issuer: /^https:\/\/auth\.pingone\.[a-z.]+\/[^/]+\/as$/,
    advice: {
      audience: "`aud` is the audience of the resource whose scopes the client asks for",
      purpose: ACCESS_TOKEN,
    },
  },
  {
    name: "Kubernetes",
    issuer: /^https:\/\/(?:kubernetes\.default|oidc\.eks\.)/,
    advice: { audience: "project a service account token of its own: `serviceAccountToken` with `audience`" },
  },
  {
    name: "GitHub Actions",
    issuer: /^https:\/\/token\.actions\.githubusercontent\.com$/,
    advice: { audience: "let the job ask for its token with an audience; the default is the same for everybody" },
  },
  {
    name: "GitLab CI",
    issuer: /^https:\/\/gitlab\./,
    advice: { audience: "name it as `aud` under the job's `id_tokens`" },
  },
];

/** What is known to help with a token of an issuer, named after its provider. @param issuer the URL */
export function adviceFor(issuer: string, topic: Topic): readonly string[] {
  return PROVIDERS.flatMap(({ name, issuer: pattern, advice }) => {
    const said = advice[topic];
    return said !== undefined && pattern.test(issuer) ? [`${name}: ${said}`] : [];
  });
}
