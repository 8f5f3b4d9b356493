import type { ClaimPlace, ClaimsIssuer, SessionsConfig } from "../../config/config.ts";
import { readClaim } from "../../config/names.ts";
import type { Section } from "../../config/section.ts";
import { readSessions } from "../../config/sections/sessions.ts";
import { type OAuthClient, readClient } from "../oauth/section.ts";

/** How people log in at an OpenID provider by a browser, and what their sessions are. Plain data. */
export interface LoginConfig {
  readonly client: OAuthClient;
  readonly scopes: readonly string[];
  /** What else the provider is asked for: `prompt`, `login_hint` and the like. */
  readonly parameters: Readonly<Record<string, string>>;
  /** As people are asked which provider is theirs. */
  readonly title: string;
  /** Where claims stand in an ID token, where that is not as in access tokens. */
  readonly claims: Pick<ClaimsIssuer["claims"], "subject" | "groups">;
  readonly logout: LogoutConfig;
  readonly sessions: SessionsConfig;
}

/** What of the provider's session ends with ours, and of ours with the provider's. */
export interface LogoutConfig {
  /** Whether who signs out here is sent on to sign out there, where the provider has a place for it. */
  readonly provider: boolean;
  /** Name of the claim by whose value the provider is told who it is. */
  readonly hint: string | undefined;
  /** Whether the provider may end sessions by telling the agent, and by a frame in somebody's browser. */
  readonly backchannel: boolean;
  readonly frontchannel: boolean;
}

const PARAMETERS = ["prompt", "login_hint", "domain_hint", "acr_values", "ui_locales"] as const;

/** The kind of credential that a session's cookie is. */
export function sessionKind({ cookie }: Pick<SessionsConfig, "cookie">): `session:${string}` {
  return `session:${cookie}`;
}

/**
 * Reads `login` of an issuer; undefined where nobody logs in there.
 *
 * @param claims where those of its access tokens stand
 */
export function readLogin(issuer: Section, claims: ClaimsIssuer["claims"]): LoginConfig | undefined {
  if (!issuer.keys().includes("login")) return undefined;
  const section = issuer.section("login");
  const sessions = readSessions(section.reading);
  if (sessions === undefined) {
    const right =
      "`sessions` beside `issuers`, such as `{ origins: [https://app.example.com], keys: session-keys.json }`";
    section.fault([], right, "people may log in, and nothing says what their sessions are");
  }
  checkIssuer(issuer);
  const own = section.section("claims");
  const placed = (key: "subject" | "groups"): ClaimPlace => readClaim(own, key) ?? claims[key];
  const scopes = section.texts("scopes");
  if (!scopes.includes("openid")) section.fault(["scopes"], "`openid` among them: else nobody says who has logged in");
  return {
    client: readClient(section.section("client")),
    scopes,
    parameters: Object.fromEntries(
      PARAMETERS.flatMap((key) => {
        const value = section.optionalText(key);
        return value === undefined ? [] : [[key, value]];
      }),
    ),
    title: section.optionalText("title") ?? String(issuer.path.at(-1)),
    claims: { subject: placed("subject"), groups: placed("groups") },
    logout: readLogout(section.section("logout"), sessions),
    sessions: sessions ?? NONE,
  };
}

/** Only a store tells which sessions there are: without one the provider has nobody to tell. */
function readLogout(section: Section, sessions: SessionsConfig | undefined): LogoutConfig {
  const isKept = sessions?.store !== undefined;
  const backchannel = section.keys().includes("backchannel") ? section.flag("backchannel") : isKept;
  if (backchannel && !isKept) {
    const right =
      "`sessions: { store: { url: redis://HOST:PORT } }`, by which sessions are found that end so; or `false`";
    section.fault(["backchannel"], right);
  }
  return {
    provider: section.flag("provider"),
    hint: section.optionalText("hint"),
    backchannel,
    frontchannel: section.flag("frontchannel"),
  };
}

/** Never used: without `sessions` there is a fault. */
const NONE: SessionsConfig = { origins: [], cookie: "", keys: "", ring: [], idle: 0, lifetime: 0, largest: 0 };

/** What an issuer's tokens are held to, and its sessions cannot be. */
function checkIssuer(issuer: Section): void {
  if (issuer.text("unbound") === "refuse") {
    issuer.fault(["login"], "no `login` beside `unbound: refuse`: a session is bound to no key");
  }
  const keys = issuer.section("keys").keys();
  if (issuer.value("discovery") === false || keys.includes("url") || keys.includes("file")) {
    issuer.fault(["login"], "no `login` at an issuer without a discovery document: nothing says where to log in");
  }
}
