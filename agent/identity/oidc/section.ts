import type { Kind } from "../../../policies/principal.ts";
import type { ClaimsIssuer, IssuerConfig, WantedClaim } from "../../config/config.ts";
import type { Environment } from "../../config/files/substitute.ts";
import { readAudiences, readClaim } from "../../config/names.ts";
import type { Section } from "../../config/section.ts";
import { readCredentials } from "../../config/sections/credentials.ts";
import { readKind, readRequire } from "../../config/sections/kinds.ts";
import { readBinding } from "../../config/sections/proofs.ts";
import { readCa, readProxy } from "../../config/sections/provider.ts";
import { neverAccess } from "../jwt/purpose.ts";
import { typeOf } from "../jwt/token.ts";
import { type ExchangeConfig, readExchange } from "../oauth/exchange.ts";
import { checkServer, type OktaConfig, readOkta } from "../okta/section.ts";
import { type LoginConfig, readLogin, sessionKind } from "../session/section.ts";
import { isTrustDomain } from "./names.ts";
import { type KeySource, readBearer, readSource } from "./source.ts";

/** An OpenID Connect provider whose JWT access tokens are verified by its published keys. */
export interface OidcIssuer extends ClaimsIssuer {
  readonly type: "oidc";
  readonly algorithms: readonly string[];
  readonly tokenTypes: readonly string[];
  /** Whether an ID token counts as an access token. */
  readonly idTokens: "refuse" | "accept";
  readonly keys: {
    readonly source: KeySource;
    /** A file with the token that is shown to whoever has the keys. */
    readonly bearer: string | undefined;
    readonly refresh: number;
    readonly cooldown: number;
    readonly maxStale: number;
    readonly maxSize: number;
    /** For discovery and keys together. */
    readonly timeout: number;
  };
  /** PEM text of the certificate authorities to trust instead of those that Node brings. */
  readonly ca: string | undefined;
  /** Where it is an authorization server of Okta's. */
  readonly okta?: OktaConfig;
  /** How its tokens are exchanged for others. Default: they are not */
  readonly exchange?: ExchangeConfig;
  /** Where people may log in there by a browser. */
  readonly login?: LoginConfig;
  /** What it is asked through; undefined for no proxy. */
  readonly proxy: { readonly url: string; readonly except: readonly string[] } | undefined;
}

/** An issuer that has keys, whatever it signs with them. */
export type KeyIssuer = Omit<OidcIssuer, "type" | "tokenTypes" | "idTokens" | "login">;

/** What is to be known of an issuer to fetch its keys. */
export type KeyOwner = Pick<
  KeyIssuer,
  "name" | "issuer" | "aliases" | "algorithms" | "clockTolerance" | "keys" | "ca" | "proxy"
>;

/** Whether an issuer's configuration is that of an OpenID Connect provider. */
export function isOidc(issuer: { readonly type: string }): issuer is OidcIssuer {
  return issuer.type === "oidc";
}

/** An issuer whose tokens are exchanged for others. */
export type ExchangingIssuer = IssuerConfig & KeyOwner & { readonly exchange: ExchangeConfig };

/** Whether an issuer's tokens are exchanged for others. */
export function exchanges(issuer: IssuerConfig): issuer is ExchangingIssuer {
  return "exchange" in issuer;
}

/** Who has logged in by a browser. */
const PERSON: Kind = "person";

/** In a token, and where Okta is asked about one. */
const OKTA_CLIENT = { first: ["cid", "client_id"] };

/** Reads the section of an issuer of this type. */
export function readOidc(name: string, section: Section, environment: Environment): OidcIssuer {
  const claims = section.section("claims");
  const [issuer = "", ...aliases] = section.texts("issuer");
  const kind = readKind(section);
  const okta = readOkta(section);
  if (section.text("type") === "oidc") checkServer(section);
  const kindClaim = readClaim(claims, "kind");
  const paths = {
    subject: readClaim(claims, "subject") ?? "",
    groups: readClaim(claims, "groups") ?? "",
    scopes: readClaim(claims, "scopes") ?? "",
    kind: kindClaim,
    client: readClaim(claims, "client") ?? (okta === undefined ? undefined : OKTA_CLIENT),
    audience: readClaim(claims, "audience") ?? "",
  };
  const login = section.text("type") === "oidc" ? readLogin(section, paths) : undefined;
  const told = [kind.kind, ...kind.kindRules.map((rule) => rule.kind), ...(login === undefined ? [] : [PERSON])];
  const kinds = [...new Set(told)];
  const bound = readBinding(section, readCredentials(section));
  const source = readSource(section);
  const exchange = readExchange(section, "discovery" in source);
  return {
    name,
    type: "oidc",
    issuer,
    ...(aliases.length > 0 && { aliases }),
    ...bound,
    credentials: [...bound.credentials, ...(login === undefined ? [] : [sessionKind(login.sessions)])],
    audiences: readAudiences(section),
    kinds: kindClaim === undefined ? kinds : undefined,
    algorithms: section.texts("algorithms"),
    claims: paths,
    require: [...readRequire(section), ...domainOf([issuer, ...aliases])],
    ...kind,
    tokenTypes: readTokenTypes(section),
    idTokens: section.choice<OidcIssuer["idTokens"]>("id_tokens"),
    clockTolerance: section.milliseconds("clock_tolerance"),
    keys: { source, ...readKeys(section.section("keys")) },
    ...(okta !== undefined && { okta }),
    ...(login !== undefined && { login }),
    ...(exchange !== undefined && { exchange }),
    ca: readCa(section),
    proxy: readProxy(section, environment),
  };
}

function readTokenTypes(section: Section): readonly string[] {
  const types = section.texts("token_types");
  for (const [index, type] of types.entries()) {
    const other = neverAccess(typeOf(type));
    if (other !== undefined) {
      section.fault(["token_types", index], "a type of access tokens, such as at+jwt", `"${type}", which is ${other}`);
    }
  }
  return types;
}

/** Of a trust domain's tokens, also those with `iss`, the subject is in it (SPIFFE JWT-SVID, section 3.1). */
function domainOf(names: readonly string[]): readonly WantedClaim[] {
  const domains = names.filter(isTrustDomain);
  return domains.length === 0 ? [] : [{ path: "sub", wanted: domains.map((domain) => ({ prefix: `${domain}/` })) }];
}

function readKeys(section: Section): Omit<OidcIssuer["keys"], "source"> {
  const keys = {
    bearer: readBearer(section),
    refresh: section.milliseconds("refresh"),
    cooldown: section.milliseconds("cooldown"),
    maxStale: section.milliseconds("max_stale"),
    maxSize: section.bytes("max_size"),
    timeout: section.milliseconds("timeout"),
  };
  if (keys.maxStale < keys.refresh) {
    const key = section.keys().includes("max_stale") ? "max_stale" : "refresh";
    section.fault([key], "`max_stale` at least as long as `refresh`: else keys would end before they are fetched anew");
  }
  return keys;
}
