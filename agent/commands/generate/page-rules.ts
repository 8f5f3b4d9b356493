import type { Cors, HostCors } from "../../../haproxy/cors.ts";
import { credentialKind } from "../../../haproxy/credentials.ts";
import type { Policies, Service } from "../../../policies/policies.ts";

/** Where a route takes any method, those that pages use. `GET` brings `HEAD` with it. */
const ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/** What a page cannot do without, whatever the policy lists. */
const SENT = ["content-type"];
/** What HAProxy's refusals tell. */
const TOLD = ["www-authenticate", "retry-after"];

/**
 * What HAProxy has to know of pages of other origins, by host: it answers for a host without knowing its routes. The
 * services at one host say the same of them, which is checked when the policies load.
 */
export function pageRules({ services }: Pick<Policies, "services">): readonly HostCors[] {
  const byHost = new Map<string, Service[]>();
  for (const service of services)
    for (const host of service.hosts) byHost.set(host, [...(byHost.get(host) ?? []), service]);
  const hosts = [...byHost].map(([host, at]) => ({ host, cors: corsOf(at) }));
  const wildcards = hosts.flatMap(({ host, cors }) => (cors && host.startsWith("*.") ? [host.slice(1)] : []));
  const said = hosts.filter(({ host, cors }) => cors !== undefined || wildcards.some((end) => host.endsWith(end)));
  const alike = Map.groupBy(said, ({ cors }) => JSON.stringify(cors));
  return [...alike.values()].map((group) => ({ hosts: group.map(({ host }) => host).sort(), cors: group[0]?.cors }));
}

/** For all services at one host. */
function corsOf(services: readonly Service[]): Cors | undefined {
  const cors = services[0]?.cors;
  if (cors === undefined) return undefined;
  const routes = services.flatMap((service) => service.routes);
  const kinds = routes.flatMap(({ needs }) => needs.credentials).flatMap((name) => credentialKind(name) ?? []);
  const nonces = kinds.some(({ name }) => name === "dpop");
  return {
    origins: cors.origins,
    methods: sorted(
      routes.flatMap(({ patterns }) => patterns.flatMap(({ methods = ANY_METHOD }) => withHead(methods))),
    ),
    headers: sorted([
      ...SENT,
      ...kinds.flatMap(({ headers }) => headers),
      ...(nonces ? ["dpop"] : []),
      ...cors.headers,
    ]),
    expose: sorted([...TOLD, ...(nonces ? ["dpop-nonce"] : []), ...cors.expose]),
    credentials: cors.credentials,
    maxAge: cors.maxAge,
  };
}

function withHead(methods: readonly string[]): readonly string[] {
  const plain = methods.filter((method) => /^[A-Z0-9_-]{1,32}$/.test(method));
  return plain.includes("GET") ? ["HEAD", ...plain] : plain;
}

function sorted(names: readonly string[]): readonly string[] {
  return [...new Set(names)].sort();
}
