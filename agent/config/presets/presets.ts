/** What is known of a provider's tokens, as its issuers' configurations have it. Data: whatever it says can be overridden. */
export interface Preset {
  /** What an issuer of this provider is called. */
  readonly form?: { readonly pattern: RegExp; readonly example: string };
  /** As in the configuration. `{issuer}` in a text stands for the issuer's name, the first of several. */
  readonly values: Readonly<Record<string, unknown>>;
}

const WORKLOAD = { type: "oidc", kind: "workload" };

/** Proxies of Google's load balancers, and Cloudflare's: from where their assertions come. */
const GOOGLE = ["35.191.0.0/16", "130.211.0.0/22"];
const CLOUDFLARE = [
  ...["173.245.48.0/20", "103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "141.101.64.0/18", "108.162.192.0/18"],
  ...["190.93.240.0/20", "188.114.96.0/20", "197.234.240.0/22", "198.41.128.0/17", "162.158.0.0/15", "104.16.0.0/13"],
  ...["104.24.0.0/14", "172.64.0.0/13", "131.0.72.0/22", "2400:cb00::/32", "2606:4700::/32", "2803:f800::/32"],
  ...["2405:b500::/32", "2405:8100::/32", "2a06:98c0::/29", "2c0f:f248::/32"],
];

/** By the word that `preset` has for them; docs/identities/oidc.md says what is to be set at each provider. */
export const PRESETS: Readonly<Record<string, Preset>> = {
  okta: {
    // What the org authorization server signs is for Okta alone: its keys are not published for others.
    form: { pattern: /^https:\/\/[^/]+\/oauth2\/[^/]+$/, example: "https://example.okta.com/oauth2/default" },
    values: {
      type: "oidc",
      algorithms: ["RS256"],
      claims: { client: "cid" },
      // An ID token has none.
      require: { cid: { present: true } },
      kind: { workload: { uid: { present: false } } },
      // Groups that a token does not list are unknown, and not none.
      okta: {},
    },
  },
  entra: {
    form: {
      pattern: /^https:\/\/(?:sts\.[^/]+\/[^/]+\/|[^/]+\/[^/]+\/v2\.0)$/,
      example: "https://login.microsoftonline.com/TENANT/v2.0",
    },
    values: {
      type: "oidc",
      algorithms: ["RS256"],
      // `sub` differs for each application that asks.
      claims: { subject: "oid", groups: { first: ["groups", "roles"] }, client: { first: ["azp", "appid"] } },
      kind: { workload: { idtyp: "app" } },
    },
  },
  keycloak: {
    form: { pattern: /\/realms\/[^/]+$/, example: "https://keycloak.example.com/realms/REALM" },
    values: {
      type: "oidc",
      claims: { groups: "realm_access.roles" },
      // ID, refresh and logout tokens are signed with the same keys.
      require: { typ: ["Bearer", "DPoP"] },
      kind: { workload: { preferred_username: { prefix: "service-account-" } } },
    },
  },
  auth0: {
    form: { pattern: /^https:\/\/[^/]+\/$/, example: "https://TENANT.auth0.com/" },
    values: {
      type: "oidc",
      algorithms: ["RS256"],
      claims: { scopes: { first: ["permissions", "scope"] } },
      kind: { workload: [{ gty: "client-credentials" }, { sub: { suffix: "@clients" } }] },
    },
  },
  cognito: {
    form: {
      pattern: /^https:\/\/cognito-idp\.[^/]+\/[^/]+$/,
      example: "https://cognito-idp.eu-central-1.amazonaws.com/POOL",
    },
    values: {
      type: "oidc",
      algorithms: ["RS256"],
      // Access tokens have `aud` only where the client asked for a resource.
      claims: { groups: "cognito:groups", client: "client_id", audience: { first: ["aud", "client_id"] } },
      require: { token_use: "access" },
      kind: { workload: { username: { present: false } } },
    },
  },
  google: {
    form: { pattern: /^(?:https:\/\/)?accounts\.google\.com$/, example: "https://accounts.google.com" },
    values: {
      type: "oidc",
      issuer: ["https://accounts.google.com", "accounts.google.com"],
      algorithms: ["RS256"],
      // Access tokens are opaque.
      id_tokens: "accept",
      kind: { workload: { email: { suffix: ".gserviceaccount.com" } } },
    },
  },
  "github-actions": {
    values: { ...WORKLOAD, issuer: "https://token.actions.githubusercontent.com", algorithms: ["RS256"] },
  },
  gitlab: { values: { ...WORKLOAD, issuer: "https://gitlab.com", algorithms: ["RS256"] } },
  kubernetes: {
    form: { pattern: /^https:\/\//, example: "https://kubernetes.default.svc.cluster.local" },
    values: {
      ...WORKLOAD,
      algorithms: ["RS256", "ES256"],
      claims: { groups: ["kubernetes.io", "namespace"] },
    },
  },
  // Access tokens are made like ID tokens, with the client as audience.
  dex: { values: { type: "oidc", algorithms: ["RS256", "ES256"], id_tokens: "accept" } },
  zitadel: {
    values: {
      type: "oidc",
      algorithms: ["RS256"],
      claims: { groups: { keys_of: "urn:zitadel:iam:org:project:roles" } },
    },
  },
  authentik: {
    form: { pattern: /\/application\/o\/(?:[^/]+\/)?$/, example: "https://authentik.example.com/application/o/APP/" },
    // As with Dex.
    values: { type: "oidc", algorithms: ["RS256", "ES256"], id_tokens: "accept" },
  },
  "spiffe-jwt": {
    form: { pattern: /^spiffe:\/\/[^/]+$/, example: "spiffe://example.org" },
    values: {
      ...WORKLOAD,
      algorithms: ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"],
      token_types: ["JWT", "JOSE"],
    },
  },
  "google-iap": {
    form: { pattern: /^https:\/\/cloud\.google\.com\/iap$/, example: "https://cloud.google.com/iap" },
    values: {
      type: "oidc",
      issuer: "https://cloud.google.com/iap",
      keys: { url: "https://www.gstatic.com/iap/verify/public_key-jwk" },
      algorithms: ["ES256"],
      credentials: [{ header: "x-goog-iap-jwt-assertion", from: GOOGLE }],
    },
  },
  "cloudflare-access": {
    form: { pattern: /^https:\/\/[^/.]+\.cloudflareaccess\.com$/, example: "https://TEAM.cloudflareaccess.com" },
    values: {
      type: "oidc",
      keys: { url: "{issuer}/cdn-cgi/access/certs" },
      algorithms: ["RS256"],
      // A service token has an empty `sub`.
      claims: { subject: { first: ["common_name", "sub"] }, client: "common_name" },
      require: { type: "app" },
      kind: { workload: { common_name: { present: true } } },
      credentials: [{ header: "cf-access-jwt-assertion", from: CLOUDFLARE }],
    },
  },
  "aws-federation": {
    form: {
      pattern: /^https:\/\/[^/]+\.tokens\.sts\.[^/]+$/,
      example: "https://11111111-2222-3333-4444-555555555555.tokens.sts.global.api.aws",
    },
    values: {
      ...WORKLOAD,
      algorithms: ["RS256", "ES384"],
      // `sub` may be somebody whom the role speaks for (`subject_mode`); this is always the role.
      claims: { subject: ["https://sts.amazonaws.com/", "principal_id"] },
    },
  },
};
