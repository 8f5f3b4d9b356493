import { BlockList, isIPv6 } from "node:net";

/** The parts of a manifest that Linkerd goes by. */
export interface Manifested {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  // biome-ignore lint/suspicious/noExplicitAny: whatever a cluster holds
  readonly spec: any;
}

/** Who asks, as a proxy knows it. */
export interface Client {
  readonly identity?: string;
  readonly address: string;
}

/**
 * What linkerd2-proxy answers at one Server, modelled on linkerd/http/route and linkerd/app/inbound at 29637b64f, and on
 * what the real proxy was seen to answer: of all matches the one with the longest path wins, whatever its type (an
 * expression's length is the path's), then one with a method; between HTTPRoutes that tie, age and name decide. A path is
 * compared as it comes. Nothing that matches is 404, and what its HTTPRoute authorizes nobody for 403.
 *
 * @returns the answers that are possible, by whatever age
 */
export class LinkerdModel {
  readonly #routes: readonly { readonly name: string; readonly matches: readonly Matcher[] }[];
  readonly #policies: readonly Manifested[];
  readonly #authentications = new Map<string, (client: Client) => boolean>();
  readonly #server: string;

  constructor(server: string, manifests: readonly Manifested[]) {
    this.#server = server;
    const of = (kind: string) => manifests.filter((manifest) => manifest.kind === kind);
    this.#routes = of("HTTPRoute")
      .filter(({ spec }) => spec.parentRefs.some(({ name }: { name: string }) => name === server))
      .map(({ metadata, spec }) => ({
        name: metadata.name,
        // biome-ignore lint/suspicious/noExplicitAny: as above
        matches: spec.rules.flatMap((rule: any) => rule.matches.map(matcherOf)),
      }));
    this.#policies = of("AuthorizationPolicy");
    for (const { metadata, spec } of of("MeshTLSAuthentication")) {
      this.#authentications.set(`MeshTLSAuthentication ${metadata.name}`, ({ identity }) =>
        spec.identities.includes(identity),
      );
    }
    for (const { metadata, spec } of of("NetworkAuthentication")) {
      const list = new BlockList();
      for (const { cidr } of spec.networks) {
        const [address, length] = cidr.split("/");
        list.addSubnet(address, Number(length), isIPv6(address) ? "ipv6" : "ipv4");
      }
      this.#authentications.set(`NetworkAuthentication ${metadata.name}`, ({ address }) => list.check(address));
    }
  }

  answers(method: string, path: string, client: Client): ReadonlySet<200 | 403 | 404> {
    if (this.#routes.length === 0) return new Set([this.#isAuthorized("Server", this.#server, client) ? 200 : 403]);
    let best = -1;
    let names: string[] = [];
    for (const { name, matches } of this.#routes) {
      for (const matcher of matches) {
        const rank = rankOf(matcher, method, path);
        if (rank > best) [best, names] = [rank, []];
        if (rank === best && rank >= 0) names.push(name);
      }
    }
    if (best < 0) return new Set([404]);
    const whole = this.#isAuthorized("Server", this.#server, client);
    return new Set(names.map((name) => (whole || this.#isAuthorized("HTTPRoute", name, client) ? 200 : 403)));
  }

  #isAuthorized(kind: string, name: string, client: Client): boolean {
    return this.#policies.some(({ spec }) => {
      if (spec.targetRef.kind !== kind || spec.targetRef.name !== name) return false;
      return spec.requiredAuthenticationRefs.every(
        (reference: { kind: string; name: string }) =>
          this.#authentications.get(`${reference.kind} ${reference.name}`)?.(client) ?? false,
      );
    });
  }
}

interface Matcher {
  readonly method: string | undefined;
  /** The length that counts; undefined where the path does not match. */
  readonly path: (path: string) => number | undefined;
}

/** -1 for no match. */
function rankOf({ method, path: match }: Matcher, asked: string, path: string): number {
  if (method !== undefined && method !== asked) return -1;
  const length = match(path);
  return length === undefined ? -1 : length * 2 + Number(method !== undefined);
}

function matcherOf({
  method,
  path: { type, value },
}: {
  method?: string;
  path: { type: string; value: string };
}): Matcher {
  if (type === "Exact") return { method, path: (path) => (path === value ? path.length : undefined) };
  if (type === "PathPrefix") return { method, path: (path) => prefixLength(value, path) };
  const expression = new RegExp(value);
  return {
    method,
    path: (path) => {
      const found = expression.exec(path);
      return found?.index === 0 && found[0].length === path.length ? path.length : undefined;
    },
  };
}

function prefixLength(value: string, path: string): number | undefined {
  if (value === "/") return 1;
  const prefix = value.replace(/\/+$/, "");
  const suffix = path.replace(/\/+$/, "");
  return suffix === prefix || suffix.startsWith(`${prefix}/`) ? prefix.length : undefined;
}
