import type { Section } from "../../config/section.ts";
import { isLoopback } from "../../http/fetch.ts";
import { type OAuthClient, readClient } from "../oauth/section.ts";

/** What is different where an issuer is an authorization server of Okta's. Plain data. */
export interface OktaConfig {
  /** The org's URL, without a path. */
  readonly org: string;
  /** How groups are had that a token does not tell; undefined where they are unknown then. */
  readonly groups: GroupsConfig | undefined;
}

/** How the org is asked for somebody's groups. */
export interface GroupsConfig {
  /** The service app that this agent is. */
  readonly client: OAuthClient;
  /** Whether its tokens are bound to a key (RFC 9449), as orgs demand it of new apps. */
  readonly dpop: boolean;
  /** What a group is called by. */
  readonly values: "name" | "id";
  /** Milliseconds for which a list counts. */
  readonly lifetime: number;
  /** Milliseconds for one list. */
  readonly timeout: number;
}

/** Reads `okta`; undefined where there is none. */
export function readOkta(issuer: Section): OktaConfig | undefined {
  if (!issuer.keys().includes("okta")) return undefined;
  const section = issuer.section("okta");
  const org = readOrg(issuer, section);
  return { org, groups: section.keys().includes("groups") ? readGroups(section.section("groups"), org) : undefined };
}

function readOrg(issuer: Section, section: Section): string {
  const written = section.optionalText("org") ?? issuer.texts("issuer")[0] ?? "";
  const url = URL.parse(written);
  const named = section.keys().includes("org");
  const isPlain = url?.protocol === "http:" && !isLoopback(url.hostname);
  if (named && (url === null || isPlain || url.href !== `${url.origin}/`)) {
    section.fault(["org"], "the org's URL, such as https://example.okta.com: https, and nothing behind the host");
  }
  return url?.origin ?? "";
}

function readGroups(section: Section, org: string): GroupsConfig {
  const client = readClient(section.section("client"));
  const { authentication } = client;
  if (authentication.method !== "private_key_jwt") {
    section.fault(["client"], "a mapping with `id` and `key`: Okta gives its scopes to who signs, and to nobody else");
  }
  return {
    client: { ...client, authentication: forOrg(authentication, org) },
    dpop: section.flag("dpop"),
    values: section.choice<GroupsConfig["values"]>("values"),
    lifetime: section.milliseconds("lifetime"),
    timeout: section.milliseconds("timeout"),
  };
}

/** Okta wants its token endpoint as the audience of an assertion. */
function forOrg(authentication: OAuthClient["authentication"], org: string): OAuthClient["authentication"] {
  if (authentication.method !== "private_key_jwt") return authentication;
  const { key } = authentication;
  return { ...authentication, key: { ...key, audience: key.audience ?? tokenEndpoint(org) } };
}

/** Where an org's own authorization server gives tokens. */
export function tokenEndpoint(org: string): string {
  return `${org}/oauth2/v1/token`;
}

/** Where orgs are that have no domain of their own. */
const OKTA = /^https:\/\/[a-z0-9-]+\.(?:(?:okta|oktapreview|okta-emea|okta-gov)\.com|okta\.mil)\/?$/;

/** Okta publishes no keys of org authorization servers for access tokens, whatever its documents name. */
export function checkServer(issuer: Section): void {
  const [name = ""] = issuer.texts("issuer");
  const isOkta = OKTA.test(name) || issuer.keys().includes("okta");
  if (!isOkta || URL.parse(name)?.pathname.startsWith("/oauth2/")) return;
  const right =
    "a custom authorization server, such as https://example.okta.com/oauth2/default. Tokens of the org authorization server can be checked by nobody but Okta: ask it about them, with `type: introspection` and `tokens: jwt`";
  issuer.fault(["issuer"], right);
}
