import type { Metadata } from "../../../haproxy/input.ts";
import type { Policies } from "../../../policies/policies.ts";
import { METADATA_PATH, type Resource } from "../../../policies/resource.ts";
import { coversHost } from "../../../policies/routing/hosts.ts";
import type { Segment } from "../../../policies/routing/pattern.ts";
import { type BindingConfig, type Config, hasClaims } from "../../config/config.ts";

/** What HAProxy tells OAuth clients of the resources of these policies; undefined where there are none. */
export function metadataOf(config: Pick<Config, "issuers" | "dpop">, policies: Policies): Metadata | undefined {
  const resources = resourcesOf(policies);
  if (resources.length === 0) return undefined;
  const hosts = [...new Set(resources.map(({ host }) => host))].sort();
  return {
    documents: resources.map((resource) => ({
      host: resource.host,
      path: METADATA_PATH + resource.path,
      body: inAscii(JSON.stringify(documentOf(resource, config))),
    })),
    serverless: hosts.filter((host) => !isServed(policies, host)),
    closed: hosts.filter((host) => "reason" in policies.match(host, "POST", "/register", {})),
  };
}

/** Each once, by URL. */
export function resourcesOf({ services }: Policies): readonly Resource[] {
  const all = services.flatMap(({ routes }) => routes.flatMap(({ resource }) => resource ?? []));
  const byUrl = new Map(all.map((resource) => [resource.url, resource]));
  return [...byUrl.values()].sort((a, b) => (a.url < b.url ? -1 : 1));
}

/** RFC 9728, section 2; nothing that is empty (section 3.2). */
export function documentOf(resource: Resource, { issuers, dpop }: Pick<Config, "issuers" | "dpop">): object {
  const { url, servers, scopes, name, documentation } = resource;
  const makers = issuers.filter((issuer) => resource.issuers.has(issuer.name)).filter(hasClaims);
  return {
    resource: url,
    authorization_servers: servers,
    ...(scopes.length > 0 && { scopes_supported: scopes }),
    bearer_methods_supported: ["header"],
    ...(name !== undefined && { resource_name: name }),
    ...(documentation !== undefined && { resource_documentation: documentation }),
    ...(makers.some(({ proofs }) => proofs.includes("certificate")) && {
      tls_client_certificate_bound_access_tokens: true,
    }),
    ...(makers.some(takesDpop) && { dpop_signing_alg_values_supported: dpop.algorithms }),
    ...(makers.length > 0 && makers.every(wantsDpop) && { dpop_bound_access_tokens_required: true }),
  };
}

function takesDpop({ proofs }: BindingConfig): boolean {
  return proofs.includes("dpop");
}

function wantsDpop({ proofs, unbound }: BindingConfig): boolean {
  return unbound === "refuse" && proofs.every((proof) => proof === "dpop");
}

/** What an authorization server has at its own host (RFC 8414, section 3; OpenID Connect Discovery, section 4). */
const SERVERS = ["oauth-authorization-server", "openid-configuration"];

/** Whether a route of the host is meant for an authorization server's metadata; a broader one is not. */
function isServed({ services }: Policies, host: string): boolean {
  const here = services.filter(({ hosts }) => hosts.some((pattern) => coversHost(pattern, host)));
  const patterns = here.flatMap(({ routes }) => routes.flatMap((route) => route.patterns));
  return patterns.some(
    ({ segments: [first, second] }) => isLiteral(first, [".well-known"]) && isLiteral(second, SERVERS),
  );
}

function isLiteral(segment: Segment | undefined, values: readonly string[]): boolean {
  return segment?.kind === "literal" && values.includes(segment.value);
}

/** An apostrophe would end the word in haproxy.cfg. */
function inAscii(json: string): string {
  return json.replace(/['\u007f-\uffff]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
