import { isSame, isWild, reaches } from "./addresses.ts";
import type { Model } from "./model.ts";
import { type Bind, lastOf, type Proxy } from "./proxies.ts";
import { isBackend } from "./routes.ts";
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

/** Names of the backends that the agents themselves stand in. */
function agents({ engines }: Model): ReadonlySet<string> {
  return new Set([...engines.values()].flat().flatMap(({ backend }) => backend ?? []));
}

/** The backends that a verdict may name: those of the policies, or all where none of them is here. */
export function servicesOf(model: Model, { backends, public: open }: Knowledge): readonly Proxy[] {
  const candidates = model.proxies.filter(isBackend);
  const named = candidates.filter(({ name }) => backends.includes(name));
  if (named.length > 0) return named;
  const own = agents(model);
  return candidates.filter(({ name, kind, servers }) => kind === "backend" && servers.length > 0 && !own.has(name) && !open.includes(name));
}

/** The targets of each frontend, as far as the files say them. */
export type Targets = ReadonlyMap<Proxy, readonly Proxy[]>;

/**
 * The proxies that nobody may reach without a verdict: those that policies name, those that a judged frontend leads to,
 * and all that lead to the same servers by another way.
 */
export function protectedOf(model: Model, targets: Targets, judged: ReadonlySet<Proxy>, knowledge: Knowledge): ReadonlySet<Proxy> {
  const own = agents(model);
  const found = new Set<Proxy>();
  for (const proxy of model.proxies) {
    if (isBackend(proxy) && knowledge.backends.includes(proxy.name)) found.add(proxy);
    if (!judged.has(proxy)) continue;
    for (const target of isBackend(proxy) ? [proxy, ...(targets.get(proxy) ?? [])] : (targets.get(proxy) ?? []))
      if (target.servers.length > 0 && !own.has(target.name) && !knowledge.public.includes(target.name)) found.add(target);
  }
  for (let size = -1; size !== found.size; ) {
    size = found.size;
    for (const proxy of model.proxies) if (!found.has(proxy) && leadsTo(proxy, found, targets)) found.add(proxy);
  }
  return found;
}

function leadsTo(proxy: Proxy, found: ReadonlySet<Proxy>, targets: Targets): boolean {
  const known = [...found].flatMap(({ servers }) => servers.flatMap(({ address }) => address ?? []));
  if (proxy.servers.some(({ address }) => address !== undefined && (isWild(address) || known.some((one) => isSame(one, address))))) return true;
  // A frontend that a protected server line dials leads to what is protected.
  return [...targets].some(
    ([frontend, led]) => led.includes(proxy) && frontend.binds.some((bind) => bind.addresses.some((address) => known.some((server) => reaches(server, address)))),
  );
}

/**
 * Whether nobody but this HAProxy can come in here: a unix socket that one of its servers dials and that nobody else
 * may write to.
 */
export function isInner(bind: Bind, model: Model): boolean {
  const words = texts(bind.statement);
  const mode = words[words.indexOf("mode") + 1] ?? "";
  const open = words.includes("mode") && /[2367]$/.test(mode);
  const dialled = model.proxies.some(({ servers }) => servers.some(({ address }) => address !== undefined && bind.addresses.some((one) => reaches(address, one))));
  return !open && dialled && bind.addresses.every(({ kind }) => kind === "path");
}

/** Frontends that a protected server line of this HAProxy dials, past a gate. */
export function isDialled(frontend: Proxy, found: ReadonlySet<Proxy>): boolean {
  return frontend.binds.some((bind) =>
    bind.addresses.some((address) => [...found].some((proxy) => proxy !== frontend && proxy.servers.some((server) => server.address !== undefined && reaches(server.address, address)))),
  );
}

export function isDisabled(proxy: Proxy): boolean {
  const last = proxy.statements.findLast(({ words }) => words[0]?.text === "disabled" || words[0]?.text === "enabled");
  return last?.words[0]?.text === "disabled";
}

/** Whether it can lead anywhere at all. */
export function hasEntrance(proxy: Proxy): boolean {
  return proxy.binds.length > 0 && !isDisabled(proxy) && lastOf(proxy, "mode")?.words[1]?.text !== "health";
}
