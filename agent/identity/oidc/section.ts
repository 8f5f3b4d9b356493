import type { ClaimsIssuer } from "../../config/config.ts";
import { readCredentials } from "../../config/credentials.ts";
import { readKind } from "../../config/kinds.ts";
import { readAudiences, readClaim } from "../../config/names.ts";
import { readCa, readProxy } from "../../config/provider.ts";
import type { Section } from "../../config/section.ts";
import type { Environment } from "../../config/substitute.ts";
import { isLoopback } from "../../http/fetch.ts";

/** An OpenID Connect provider whose JWT access tokens are verified by its published keys. */
export interface OidcIssuer extends ClaimsIssuer {
  readonly type: "oidc";
  readonly algorithms: readonly string[];
  readonly tokenTypes: readonly string[];
  /** Whether an ID token counts as an access token. */
  readonly idTokens: "refuse" | "accept";
  readonly keys: {
    readonly refresh: number;
    readonly cooldown: number;
    readonly maxStale: number;
    readonly maxSize: number;
    /** For discovery and keys together. */
    readonly timeout: number;
  };
  /** PEM text of the certificate authorities to trust instead of those that Node brings. */
  readonly ca: string | undefined;
  /** What it is asked through; undefined for no proxy. */
  readonly proxy: { readonly url: string; readonly except: readonly string[] } | undefined;
}

/** Whether an issuer's configuration is that of an OpenID Connect provider. */
export function isOidc(issuer: { readonly type: string }): issuer is OidcIssuer {
  return issuer.type === "oidc";
}

/** Reads the section of an issuer of this type. */
export function readOidc(name: string, section: Section, environment: Environment): OidcIssuer {
  const claims = section.section("claims");
  checkUrl(section);
  const kind = readKind(section);
  const kindClaim = readClaim(claims, "kind");
  const kinds = [...new Set([kind.kind, ...kind.kindRules.map((rule) => rule.kind)])];
  return {
    name,
    type: "oidc",
    issuer: section.text("issuer"),
    ...readCredentials(section),
    audiences: readAudiences(section),
    kinds: kindClaim === undefined ? kinds : undefined,
    algorithms: section.texts("algorithms"),
    claims: {
      subject: readClaim(claims, "subject") ?? "",
      groups: readClaim(claims, "groups") ?? "",
      scopes: readClaim(claims, "scopes") ?? "",
      kind: kindClaim,
      client: readClaim(claims, "client"),
    },
    ...kind,
    tokenTypes: section.texts("token_types"),
    idTokens: section.choice<OidcIssuer["idTokens"]>("id_tokens"),
    clockTolerance: section.milliseconds("clock_tolerance"),
    keys: readKeys(section.section("keys")),
    ca: readCa(section),
    proxy: readProxy(section, environment),
  };
}

/** What stands for a part that differs; in no URL of an issuer does it stand for itself. */
const PLACEHOLDER = /[*{}<>^|]|%7[bd]|%3[ce]|\/:[a-z_]|\$$/i;

/** Where anybody of Microsoft may log in; the tokens name the tenant. */
const EVERY_TENANT = /^https:\/\/login\.microsoftonline\.[a-z]+\/(?:common|organizations|consumers)(?:\/|$)/;

/** OpenID Connect Discovery 1.0, section 2: https without query and fragment. */
function checkUrl(section: Section): void {
  const text = section.optionalText("issuer");
  if (text === undefined) return;
  const url = URL.parse(text);
  const fault = (right: string) => section.fault(["issuer"], right);
  if (url === null) fault("the URL that the tokens have as `iss`, such as https://example.okta.com/oauth2/default");
  else if (url.username !== "" || url.password !== "") fault("a URL without user name and password");
  else if (url.href.includes("?") || url.href.includes("#")) fault("a URL without query and fragment");
  else if (PLACEHOLDER.test(text)) {
    fault("the issuer's whole URL, as its tokens have it: an issuer of its own for each that differs in this");
  } else if (EVERY_TENANT.test(text)) {
    fault("the tenant's own issuer, such as https://login.microsoftonline.com/TENANT/v2.0: tokens name their tenant");
  } else if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    fault("https: whoever stands between could swap the keys; http is for loopback only");
  }
}

function readKeys(section: Section): OidcIssuer["keys"] {
  const keys = {
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
