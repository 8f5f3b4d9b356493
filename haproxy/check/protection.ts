import { DEFAULTS } from "../backends.ts";
import { WEB_BACKEND } from "../input.ts";
import { type Address, isSame, isWild, reaches } from "./addresses.ts";
import type { Model } from "./model.ts";
import { type Bind, lastOf, modeOf, type ProxySection } from "./proxies.ts";
import { isBackend, type Route } from "./routes.ts";
import { texts } from "./where.ts";

/** What the reader of the files knows that they do not say. */
export interface Knowledge {
  /** Names of the backends that policies name. */
  readonly backends: readonly string[];
  /** Names of those that anybody may reach. */
  readonly public: readonly string[];
  /** Start of the identity headers' names; undefined where nobody knows. */
  readonly identityPrefix: string | undefined;
  /** Names of the identity headers that policies set, in lower case. */
  readonly identityHeaders: readonly string[];
}

/** Names of the backends that the agents themselves stand in: they are asked there, or have their own public pages. */
function agents({ engines }: Model): ReadonlySet<string> {
  return new Set([WEB_BACKEND, ...[...engines.values()].flat().flatMap(({ backend }) => backend ?? [])]);
}

/** The backends that a verdict may name: those of the policies, or all where none of them is here. */
export function servicesOf(model: Model, { backends, public: open }: Knowledge): readonly ProxySection[] {
  const candidates = model.proxies.filter(isBackend);
  const named = candidates.filter(({ name }) => backends.includes(name));
  if (named.length > 0) return named;
  const own = agents(model);
  const isOther = ({ name, servers }: ProxySection) => servers.length > 0 && !own.has(name) && !open.includes(name);
  return candidates.filter((proxy) => proxy.kind === "backend" && modeOf(proxy).mode === "http" && isOther(proxy));
}

/** Where each frontend leads, as far as the files say. */
export type Targets = ReadonlyMap<ProxySection, readonly Route[]>;

/** The proxies that nobody may reach without a verdict. */
export interface Guarded {
  readonly certain: ReadonlySet<ProxySection>;
  /** And those of which only policies could say so: a verdict may name any backend. */
  readonly possible: ReadonlySet<ProxySection>;
}

/**
 * Protected are the backends that policies name, that were rendered for them, or that a line of a judged frontend leads
 * to; and whatever leads to the same servers by another way.
 */
export function guardedOf(
  model: Model,
  targets: Targets,
  judged: ReadonlySet<ProxySection>,
  knowledge: Knowledge,
): Guarded {
  const own = agents(model);
  const counts = ({ servers, name }: ProxySection) =>
    servers.length > 0 && !own.has(name) && !knowledge.public.includes(name);
  const ways = [...judged].flatMap((proxy) => targets.get(proxy) ?? []);
  const [named, led] = [ways.filter(({ by }) => by === "verdict"), ways.filter(({ by }) => by !== "verdict")];
  const certain = new Set([
    ...model.proxies.filter((proxy) => isBackend(proxy) && knowledge.backends.includes(proxy.name)),
    ...[...judged].filter((proxy) => isBackend(proxy) && counts(proxy)),
    ...led.map(({ target }) => target).filter(counts),
    ...named.map(({ target }) => target).filter(({ section }) => section.defaults?.name === DEFAULTS),
  ]);
  close(certain, model, targets);
  const possible = new Set([...certain, ...named.map(({ target }) => target).filter(counts)]);
  close(possible, model, targets);
  return { certain, possible };
}

/** These, and whatever leads to the same servers. */
export function closed(found: ReadonlySet<ProxySection>, model: Model, targets: Targets): ReadonlySet<ProxySection> {
  const all = new Set(found);
  close(all, model, targets);
  return all;
}

/** Adds what leads to the same servers, and what frontends lead to that those servers are. */
function close(found: Set<ProxySection>, { proxies }: Model, targets: Targets): void {
  if (found.size === 0) return;
  for (let size = -1; size !== found.size; ) {
    size = found.size;
    const known = new Places([...found].flatMap(({ servers }) => servers.flatMap(({ address }) => address ?? [])));
    const dialled = [...targets].filter(([{ binds }]) =>
      binds.some((bind) => bind.addresses.some((one) => known.dials(one))),
    );
    for (const [, led] of dialled) for (const { target } of led) found.add(target);
    const same = ({ servers }: ProxySection) =>
      servers.some(({ address }) => address !== undefined && known.has(address));
    for (const proxy of proxies) if (same(proxy)) found.add(proxy);
  }
}

/** Addresses of servers, to be found by their host. */
class Places {
  readonly #byHost = new Map<string, Address[]>();

  constructor(addresses: readonly Address[]) {
    for (const address of addresses) this.#byHost.set(address.host, [...this.#of(address.host), address]);
  }

  /** Whether one of them is this server, or it may be any. */
  has(server: Address): boolean {
    return isWild(server) || this.#of(server.host).some((known) => isSame(known, server));
  }

  /** Whether who goes to one of them arrives where a `bind` listens. */
  dials(bind: Address): boolean {
    return [bind.host, "loopback"].some((host) => this.#of(host).some((known) => reaches(known, bind)));
  }

  #of(host: string): readonly Address[] {
    return this.#byHost.get(host) ?? [];
  }
}

/**
 * Whether nobody comes in here but past a gate: a unix socket that nobody else may write to, and that servers of
 * protected proxies dial and no others.
 */
export function isInner(bind: Bind, { proxies }: Model, { possible }: Guarded): boolean {
  const words = texts(bind.statement);
  const mode = words[words.indexOf("mode") + 1] ?? "";
  const open = words.includes("mode") && /[2367]$/.test(mode);
  const dials = ({ servers }: ProxySection) =>
    servers.some(({ address }) => address !== undefined && bind.addresses.some((one) => reaches(address, one)));
  const diallers = proxies.filter(dials);
  const behind = diallers.length > 0 && diallers.every((proxy) => possible.has(proxy));
  return !open && behind && bind.addresses.every(({ kind }) => kind === "path");
}

/** Frontends that a protected server line of this HAProxy dials, past a gate. */
export function isDialled(frontend: ProxySection, found: ReadonlySet<ProxySection>): boolean {
  return frontend.binds.some((bind) =>
    bind.addresses.some((address) =>
      [...found].some(
        (proxy) =>
          proxy !== frontend &&
          proxy.servers.some((server) => server.address !== undefined && reaches(server.address, address)),
      ),
    ),
  );
}

export function isDisabled(proxy: ProxySection): boolean {
  const last = proxy.statements.findLast(({ words }) => words[0]?.text === "disabled" || words[0]?.text === "enabled");
  return last?.words[0]?.text === "disabled";
}

/** Whether it can lead anywhere at all. */
export function hasEntrance(proxy: ProxySection): boolean {
  return proxy.binds.length > 0 && !isDisabled(proxy) && lastOf(proxy, "mode")?.words[1]?.text !== "health";
}
