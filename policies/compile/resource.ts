import type { PolicyIssuer } from "../judging/binding.ts";
import { type Resource, readResourceUrl } from "../resource.ts";
import { coversHost } from "../routing/hosts.ts";
import type { Pattern } from "../routing/pattern.ts";
import { nearest } from "../source/validate.ts";
import { type Findings, named, type Place } from "./findings.ts";
import type { ResourceEntry } from "./policy-file.ts";
import type { CompiledRoute } from "./route.ts";
import type { CompiledService } from "./service.ts";
import type { Given } from "./test.ts";

/** Bytes of all scopes of a challenge; past them clients are not told any. */
const MOST_SCOPES = 512;
/** Each is a rule of HAProxy's, which every request passes. */
const MOST_RESOURCES = 256;
/** Whatever it is asked for; clients that want it ask on their own (OpenID Connect Core, section 11). */
const OFFLINE = "offline_access";

/** What a resource is of: a service's hosts, and whose tokens it takes. */
export interface ResourceContext {
  readonly hosts: readonly string[];
  readonly audiences: readonly string[] | undefined;
  readonly issuers: readonly PolicyIssuer[];
  readonly findings: Findings;
}

/** Compiles a `resource`; undefined where nothing can be told of it. */
export function compileResource(
  { value: entry, place }: Given<ResourceEntry>,
  context: ResourceContext,
): Resource | undefined {
  const { findings, hosts } = context;
  const url = readResourceUrl(entry.url);
  if ("offset" in url) {
    findings.text(place.at("url"), url);
    return undefined;
  }
  if (!hosts.some((pattern) => coversHost(pattern, url.host))) {
    const found = `the host "${url.host}", which the service does not have`;
    findings.fault(place.at("url"), found, `a URL at ${named(hosts)}, or more \`hosts\``);
  }
  checkScopes(entry, place, findings);
  const audience = entry.audience ?? entry.url;
  const issuers = new Set(context.issuers.filter(({ audiences }) => audiences.includes(audience)).map(nameOf));
  checkAudience(audience, { entry, place, issuers }, context);
  const servers = serversOf(entry, place, issuers, context);
  const { name, documentation, scopes = [] } = entry;
  return { ...url, servers, scopes, name, documentation, audience, issuers };
}

function nameOf({ name }: PolicyIssuer): string {
  return name;
}

function checkScopes({ scopes = [] }: ResourceEntry, place: Place, findings: Findings): void {
  const at = scopes.indexOf(OFFLINE);
  if (at < 0) return;
  const right = "leave it out: it is no scope of an API, and clients that want to stay logged in ask for it themselves";
  findings.fault(place.at("scopes", at), `the scope \`${OFFLINE}\``, right);
}

/** A token that a client gets for this URL must not be refused here. */
function checkAudience(
  audience: string,
  {
    entry,
    place,
    issuers,
  }: { readonly entry: ResourceEntry; readonly place: Place; readonly issuers: ReadonlySet<string> },
  { audiences, findings }: ResourceContext,
): void {
  const at = place.at(entry.audience === undefined ? "url" : "audience");
  const right = "to the issuer's `audiences`; or say `audience` for what the authorization server puts into `aud`";
  if (issuers.size === 0)
    findings.fault(at, `no issuer of the service lists the audience "${audience}"`, `add it ${right}`);
  else if (audiences !== undefined && !audiences.includes(audience))
    findings.fault(at, `"${audience}" is not among the service's \`audiences\``, "add it there");
}

/** Issuer identifiers. Without any named it is the one issuer that makes tokens for this audience. */
function serversOf(
  { authorization_servers: written }: ResourceEntry,
  place: Place,
  makers: ReadonlySet<string>,
  { issuers, findings }: ResourceContext,
): readonly string[] {
  if (written !== undefined)
    return written.flatMap((text, index) =>
      serverOf(text, place.at("authorization_servers", index), issuers, findings),
    );
  const possible = issuers.filter(({ name, server }) => makers.has(name) && server !== undefined);
  if (possible.length !== 1 && makers.size > 0) {
    const found = `${possible.length === 0 ? "no" : "several"} authorization servers that clients could be sent to`;
    const names = possible.length === 0 ? "[https://…]" : `[${possible.map(nameOf).join(", ")}]`;
    findings.key(place, found, `\`authorization_servers: ${names}\`: clients take the first`);
  }
  return possible.flatMap(({ server }) => server ?? []);
}

function serverOf(text: string, place: Place, issuers: readonly PolicyIssuer[], findings: Findings): readonly string[] {
  const issuer = issuers.find(({ name }) => name === text);
  if (issuer?.server !== undefined) return [issuer.server];
  const url = URL.parse(text);
  if (url !== null && isServer(url, text)) return [text];
  const names = issuers.filter(({ server }) => server !== undefined).map(nameOf);
  const close = nearest(text, names);
  const right =
    close === undefined ? `one of ${named(names)}, or an https URL without query` : `did you mean "${close}"?`;
  findings.fault(place, `"${text}" is no authorization server of the service's issuers`, right);
  return [];
}

/** RFC 8414, section 2. */
function isServer({ protocol, hostname, username, search, hash }: URL, text: string): boolean {
  const secure = protocol === "https:" || (protocol === "http:" && /^(?:127\.|localhost$|\[::1\]$)/.test(hostname));
  return secure && username === "" && search === "" && hash === "" && !/["'\\\s]/.test(text);
}

/** A client that is sent from a route to a resource's metadata takes it only for paths below the resource's own. */
export function checkCovered(
  { url, path }: Resource,
  { rule, patterns }: Pick<CompiledRoute, "rule" | "patterns">,
  findings: Findings,
): void {
  if (rule.access === "anyone") return;
  for (const { pattern, place } of patterns) {
    if (isBelow(pattern, path)) continue;
    const right = "a `resource` of the route's own, or a service of its own: clients take it for nothing else";
    findings.fault(place, `a path outside of the resource ${url}`, right);
  }
}

function isBelow({ segments }: Pattern, path: string): boolean {
  const wanted = path === "" ? [] : path.slice(1).split("/");
  return wanted.every((value, index) => {
    const segment = segments[index];
    return segment?.kind === "literal" && segment.value === value;
  });
}

/** HAProxy finds one document by host and path, whatever the port; and a challenge has room for so many scopes. */
export function checkResources(services: readonly CompiledService[], findings: Findings): void {
  const first = new Map<string, { readonly resource: Resource; readonly place: Place }>();
  for (const { resources } of services) {
    for (const { resource, place } of resources) {
      const where = resource.host + resource.path;
      const before = first.get(where);
      if (before === undefined) first.set(where, { resource, place });
      else if (documentOf(before.resource) !== documentOf(resource)) {
        const right = `the same of both; the first is at ${before.place.text}`;
        findings.fault(place.at("url"), `another \`resource\` at ${where}`, right);
      }
      warnOfScopes(resource, place, findings);
    }
  }
  const last = [...first.values()].at(MOST_RESOURCES);
  if (last !== undefined)
    findings.key(last.place, `more than ${MOST_RESOURCES} resources`, "fewer, each with more below");
}

function documentOf({ issuers, ...document }: Resource): string {
  return JSON.stringify([document, [...issuers]]);
}

function warnOfScopes({ scopes }: Resource, place: Place, findings: Findings): void {
  if (scopes.join(" ").length <= MOST_SCOPES) return;
  const right = `those that every client needs, ${MOST_SCOPES} characters at most: a challenge names no scope where all do not fit`;
  findings.warn(place.at("scopes"), "scopes that no challenge has room for", right);
}
