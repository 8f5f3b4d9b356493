import type { Match, Refusal, Service } from "../policies.ts";
import type { Found } from "../routing/found.ts";
import { type PathLeniency, STRICT, segmentsOf } from "../routing/path.ts";
import type { NotFound, RouteTable } from "../routing/routes.ts";
import type { Rule } from "./rule.ts";

/** A match whose captures are taken out of the path when somebody asks for them. */
class FoundRoute implements Match {
  readonly host: string;
  readonly preflight: boolean;
  readonly #found: Found<Rule>;

  constructor(found: Found<Rule>, host: string, preflight: boolean) {
    this.#found = found;
    this.host = host;
    this.preflight = preflight;
  }

  get route(): Rule {
    return this.#found.value;
  }

  get params(): Readonly<Record<string, string>> {
    return this.#found.params;
  }
}

/**
 * What a host leads to: the routes of all the services that name it, in one table, so that the most specific pattern
 * wins whosever it is. What a service says of paths and preflights holds for its own routes.
 */
export class Site {
  readonly services: readonly Service[];
  readonly #table: RouteTable<Rule>;
  /** What any of the services lets pass: a path is refused before its route is known only where all of them refuse it. */
  readonly #leniency: PathLeniency;
  /** By its rules' service; undefined where all services let the same pass. */
  readonly #own: ReadonlyMap<Service, PathLeniency> | undefined;
  readonly #preflights: ReadonlySet<Service>;

  /** @param table the routes of all the services */
  constructor(services: readonly Service[], table: RouteTable<Rule>) {
    this.services = services;
    this.#table = table;
    this.#leniency = unionOf(services);
    const alike = services.every(({ leniency }) => isAlike(leniency, this.#leniency));
    this.#own = alike ? undefined : new Map(services.map((service) => [service, service.leniency]));
    this.#preflights = new Set(services.filter(({ preflight }) => preflight));
  }

  /** @param host as policies name it */
  match(host: string, method: string, path: string, headers: Readonly<Record<string, string>>): Match | Refusal {
    if (method === "OPTIONS" && this.#preflights.size > 0) {
      const asked = this.#asked(path, headers);
      if (asked !== undefined) return new FoundRoute(asked, host, true);
    }
    const found = this.#find(method, path);
    return "reason" in found ? this.#refusal(found, path) : new FoundRoute(found, host, false);
  }

  /**
   * The route that a CORS preflight asks about (the Fetch standard's CORS-preflight request), where its service lets
   * preflights pass. All others are judged like any request.
   */
  #asked(path: string, headers: Readonly<Record<string, string>>): Found<Rule> | undefined {
    const method = headers["access-control-request-method"];
    if (method === undefined || headers.origin === undefined) return undefined;
    const found = this.#find(method, path);
    return "reason" in found || !this.#preflights.has(found.value.service) ? undefined : found;
  }

  /** A route whose service does not let the path pass is not passed over for another. */
  #find(method: string, path: string): Found<Rule> | NotFound {
    const found = this.#table.find(method, path, this.#leniency);
    if (this.#own === undefined || "reason" in found) return found;
    const own = this.#own.get(found.value.service);
    return segmentsOf(path, own) === undefined ? { reason: "path-ambiguous" } : found;
  }

  /** It names a service only where no other could be meant. */
  #refusal({ reason }: NotFound, path: string): Refusal {
    const able =
      this.services.length === 1
        ? this.services.map(({ name }) => name)
        : this.#table.ofPath(path, this.#leniency).map(({ service }) => service.name);
    const [name = "", other] = new Set(able);
    return { reason, rule: other === undefined ? name : "" };
  }
}

function unionOf(services: readonly Service[]): PathLeniency {
  const keys = Object.keys(STRICT) as (keyof PathLeniency)[];
  const union = keys.map((key) => [key, services.some(({ leniency }) => leniency[key])]);
  return Object.fromEntries(union) as Record<keyof PathLeniency, boolean>;
}

function isAlike(a: PathLeniency, b: PathLeniency): boolean {
  return (Object.keys(STRICT) as (keyof PathLeniency)[]).every((key) => a[key] === b[key]);
}
