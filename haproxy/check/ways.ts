import { MESSAGE } from "../arguments.ts";
import { FALSE, TRUE } from "./bdd.ts";
import { sharedCaches } from "./caches.ts";
import { Evaluator } from "./evaluate.ts";
import type { Finding } from "./finding.ts";
import { finding } from "./finding.ts";
import { Flow } from "./flow.ts";
import type { Model } from "./model.ts";
import {
  closed,
  type Guarded,
  guardedOf,
  hasEntrance,
  isDialled,
  isInner,
  type Knowledge,
  servicesOf,
} from "./protection.ts";
import { provedOf, type Way } from "./prove.ts";
import { type Bind, modeOf, type ProxySection, rulesOf } from "./proxies.ts";
import { type Route, type Routing, routesOf } from "./routes.ts";
import { samplesIn } from "./samples.ts";
import { settings, stops } from "./settings.ts";
import type { Engine } from "./spoe.ts";
import { type Ask, fresh, type State } from "./state.ts";
import { WARNED_HEADERS } from "./warnings.ts";
import { lineText, texts } from "./where.ts";

/** A frontend's rules, followed: for a stream that is HTTP, and for one that stays TCP. */
interface Followed {
  readonly http: State;
  readonly tcp: State;
  readonly routing: Routing;
  readonly raw: Routing;
}

/** Proves one world's model: every way from a bind to a protected backend. */
export class Proof {
  readonly #model: Model;
  readonly #knowledge: Knowledge;
  readonly #evaluator = new Evaluator();
  readonly #flow: Flow;
  readonly #services: readonly ProxySection[];
  readonly #engine: Engine | undefined;
  readonly #identity: ReadonlySet<string>;
  readonly #fills: ReadonlyMap<string, readonly string[]>;
  #judgedBackends: () => ReadonlySet<ProxySection> = () => new Set();
  /** The proxies that nobody may reach without a verdict, once it has run. */
  guarded: Guarded = { certain: new Set(), possible: new Set() };

  constructor(model: Model, knowledge: Knowledge) {
    this.#model = model;
    this.#knowledge = knowledge;
    this.#flow = new Flow({
      evaluator: this.#evaluator,
      variables: model.variables,
      enginesOf: (proxy) => model.engines.get(proxy) ?? [],
    });
    this.#services = servicesOf(model, knowledge);
    this.#engine = [...model.engines.values()].flat().find(asks);
    this.#fills = this.#filled();
    this.#identity = this.#identityHeaders();
  }

  run(): readonly Finding[] {
    const frontends = this.#model.proxies.filter(({ kind }) => kind !== "backend");
    const followed = new Map(frontends.map((frontend) => [frontend, this.#follow(frontend, fresh(this.#headers()))]));
    const targets = new Map(
      [...followed].map(([frontend, { routing, raw }]) => [frontend, [...routing.routes, ...raw.routes]]),
    );
    const judged = new Set(
      [...this.#model.engines].filter(([, engines]) => engines.some(asks)).map(([proxy]) => proxy),
    );
    const guarded = guardedOf(this.#model, targets, judged, this.#knowledge);
    this.guarded = guarded;
    this.#judgedBackends = once(() => closed(this.#judgedTargets(followed, guarded), this.#model, targets));
    const findings: Finding[] = [];
    for (const [frontend, states] of followed) {
      if (!hasEntrance(frontend)) continue;
      findings.push(...this.#frontend(frontend, states, guarded));
      if (isDialled(frontend, guarded.possible)) findings.push(...this.#inner(frontend, guarded));
    }
    const told = findings.filter(({ code }) => code === "cache");
    return [...findings, ...sharedCaches(guarded, targets, told)];
  }

  #frontend(frontend: ProxySection, followed: Followed, guarded: Guarded): readonly Finding[] {
    const bind = frontend.binds.find((one) => !isInner(one, this.#model, guarded));
    return bind === undefined ? [] : this.#ways(frontend, followed, guarded, { bind, judged: false });
  }

  /** What comes over a server line of ours has been judged: it must only stay what it is. */
  #inner(frontend: ProxySection, guarded: Guarded): readonly Finding[] {
    const engine = this.#engine;
    const message = engine?.messages.find(({ name }) => name === MESSAGE);
    if (engine === undefined || message === undefined) return [];
    const ask: Ask = { n: -1, statement: engine.filter, engine, message, answered: TRUE, id: undefined };
    const start: State = {
      ...fresh([]),
      headers: new Map([...this.#headers()].map((name) => [name, []])),
      asks: [ask],
    };
    return this.#ways(frontend, this.#follow(frontend, start), guarded, { bind: undefined, judged: true });
  }

  #ways(
    frontend: ProxySection,
    { http, tcp, routing, raw }: Followed,
    guarded: Guarded,
    how: Pick<Way, "bind" | "judged">,
  ): readonly Finding[] {
    const several =
      [...guarded.certain].filter((proxy) => proxy.servers.length > 0 && this.#isService(proxy)).length > 1;
    const engine = this.#model.engines.get(frontend)?.find(asks) ?? this.#engine;
    const findings: Finding[] = routing.unknown.map(({ statement, what }) =>
      finding(
        "unproven",
        "unknown",
        statement,
        `"${lineText(statement)}" is not understood: ${what}`,
        "write it in a way that this check knows",
      ),
    );
    const isTcp = modeOf(frontend).mode === "tcp";
    const ways = [...routing.routes, ...raw.routes].flatMap((route) => {
      const stays = raw.routes.includes(route);
      const { target } = route;
      if (!guarded.possible.has(target) || (isTcp && stays !== (modeOf(target).mode === "tcp"))) return [];
      const way = { frontend, route, engine, several, identity: this.#named(), fills: this.#fills, ...how };
      const found = stays ? this.#raw({ ...way, state: this.#taken(tcp, route) }) : this.#judged(way, http);
      const certain = guarded.certain.has(target);
      const told = certain ? found.map((one) => this.#open(one, target)) : found.flatMap(doubtful(target.name));
      return [this.#isNamed(route) ? told : told.map(perhaps)];
    });
    return ways.length > 0 ? [...findings, ...ways.flat()] : [];
  }

  /** Whether it is known that the route leads there: of a map, by what its file says now. */
  #isNamed({ by, statement, target }: Route): boolean {
    if (by !== "map") return true;
    const calls = samplesIn(texts(statement)[1] ?? "").flatMap((sample) => sample.calls);
    return calls.some(({ name, values: [file = "", fallback] }) => {
      if (!name.startsWith("map")) return false;
      const lines = this.#model.named(file, statement)?.text.split("\n") ?? [];
      return fallback === target.name || lines.some((line) => line.trim().split(/\s+/)[1] === target.name);
    });
  }

  /** The backends that some requests only reach by what was answered. */
  #judgedTargets(followed: ReadonlyMap<ProxySection, Followed>, guarded: Guarded): ReadonlySet<ProxySection> {
    const { formulas } = this.#evaluator;
    const found = new Set<ProxySection>();
    for (const [frontend, { http, routing }] of followed)
      for (const route of routing.routes) {
        const { target } = route;
        if (found.has(target) || !guarded.certain.has(target)) continue;
        const taken = this.#taken(http, route);
        const { live } = target === frontend ? taken : this.#backend(target, taken);
        const atoms = [...formulas.atoms(live)].map((number) => this.#evaluator.atomOf(number)?.origin);
        if (atoms.some((origin) => origin !== "request")) found.add(target);
      }
    return found;
  }

  /**
   * Beside gates that hold, a backend that no answer ever decides about is mostly meant for anybody: nobody but the
   * reader knows.
   */
  #open(one: Finding, target: ProxySection): Finding {
    const { backends } = this.#knowledge;
    if (one.code !== "gate" || one.level !== "fault" || backends.includes(target.name)) return one;
    const judged = this.#judgedBackends();
    if (judged.has(target) || judged.size === 0) return one;
    return { ...one, level: "unproven", right: `--public ${target.name}, if anybody may reach it; else ${one.right}` };
  }

  #taken(state: State, { when }: Route): State {
    return { ...state, live: this.#evaluator.formulas.and(state.live, when) };
  }

  #raw(way: Way): readonly Finding[] {
    return way.judged ? [] : stops(way, way.state, this.#evaluator);
  }

  /** Mostly nothing is wrong whatever way is taken, and then the way's own condition need not be looked at. */
  #judged(to: Omit<Way, "state">, state: State): readonly Finding[] {
    const any = this.#arrived(to, state);
    const found = provedOf(any, this.#evaluator);
    const exact = found.length === 0 ? [] : provedOf(this.#arrived(to, this.#taken(state, to.route)), this.#evaluator);
    return [...exact, ...settings(any, this.#model, this.#identity, this.#evaluator)];
  }

  #arrived(to: Omit<Way, "state">, state: State): Way {
    const { target } = to.route;
    return { ...to, state: target === to.frontend ? state : this.#backend(target, state) };
  }

  #isService({ name }: ProxySection): boolean {
    return this.#services.some((service) => service.name === name);
  }

  #follow(frontend: ProxySection, start: State): Followed {
    const flow = this.#flow;
    const come = { ...start, live: this.#evaluator.overTls(frontend.binds.map(isTls), start) };
    const opened = flow.event(flow.event(come, frontend, "on-client-session"), frontend, "on-frontend-tcp-request");
    const content = flow.run(opened, frontend, rulesOf(frontend, "tcp-request", "content"), 2);
    const asked = flow.event(content, frontend, "on-frontend-http-request");
    const ruled = flow.run(asked, frontend, rulesOf(frontend, "http-request"), 1);
    const sent = flow.run(ruled, frontend, rulesOf(frontend, "redirect"), 0);
    const http = flow.evaluated(sent, rulesOf(frontend, "use_backend"), 1);
    const { proxies } = this.#model;
    const isTcp = modeOf(frontend).mode === "tcp";
    const tcp = { ...content, live: isTcp ? this.#evaluator.formulas.without(content.live, content.switched) : FALSE };
    const none: Routing = { routes: [], unknown: [] };
    return {
      http,
      tcp,
      routing: routesOf(frontend, http, this.#evaluator, proxies, this.#services),
      raw: isTcp ? routesOf(frontend, tcp, this.#evaluator, proxies, this.#services) : none,
    };
  }

  #backend(target: ProxySection, state: State): State {
    const flow = this.#flow;
    const opened = flow.event(state, target, "on-backend-tcp-request");
    const content = flow.run(opened, target, rulesOf(target, "tcp-request", "content"), 2);
    const asked = flow.event(content, target, "on-backend-http-request");
    const ruled = flow.run(asked, target, rulesOf(target, "http-request"), 1);
    return flow.run(ruled, target, rulesOf(target, "redirect"), 0);
  }

  /** The headers that are followed: those that say who it is, and the one that makes tunnels. */
  #headers(): ReadonlySet<string> {
    return new Set([...this.#identity, ...WARNED_HEADERS]);
  }

  /** Identity headers: what the policies say, and whatever is filled from an answer. */
  #identityHeaders(): ReadonlySet<string> {
    return new Set([...this.#named(), ...this.#fills.keys()]);
  }

  /** The headers that are filled from an answer, each with the names in it. */
  #filled(): ReadonlyMap<string, readonly string[]> {
    const engines = [...this.#model.engines.values()].flat().filter(asks);
    const starts = [...new Set(engines.map(({ prefix }) => `txn.${prefix}.`))];
    const fills = new Map<string, readonly string[]>();
    for (const { statement } of this.#model.proxies.flatMap((proxy) => rulesOf(proxy, "http-request"))) {
      const [, action = "", name = "", ...values] = texts(statement);
      if (!/^(?:set|add)-header$/.test(action)) continue;
      const read = values
        .flatMap(samplesIn)
        .flatMap(({ calls: [fetch] }) => (fetch?.name === "var" ? fetch.values : []));
      const answers = read.flatMap((full) =>
        starts.flatMap((start) => (full.startsWith(start) ? [full.slice(start.length)] : [])),
      );
      const header = name.toLowerCase();
      if (answers.length > 0) fills.set(header, [...(fills.get(header) ?? []), ...answers]);
    }
    return fills;
  }

  /** Those that policies say who it is by. */
  #named(): ReadonlySet<string> {
    const { identityPrefix, identityHeaders } = this.#knowledge;
    return new Set([...(identityPrefix === undefined ? [] : [`${identityPrefix}*`]), ...identityHeaders]);
  }
}

/** What only holds where a map, which may change while HAProxy runs, names the backend. */
function perhaps(one: Finding): Finding {
  if (one.level !== "fault") return one;
  const right =
    "a map can be changed while HAProxy runs: use_backend NAME if …, a line for each that anybody may reach";
  return { ...one, level: "unproven", right };
}

/** What is only looked at where something was found, and then once. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** Of a backend that only policies could call protected nothing is a fault, and nothing is fine. */
function doubtful(name: string): (one: Finding) => readonly Finding[] {
  return (one) => {
    if (one.level === "warning") return [];
    const right = `${one.right}; or --public ${name}, or --config with policies that do not name it`;
    return [{ ...one, level: "unproven", right }];
  };
}

function isTls({ statement }: Bind): boolean {
  return statement.words.some(({ text }) => text === "ssl" || /^quic[46]@/.test(text));
}

function asks({ messages }: Engine): boolean {
  return messages.some(({ name }) => name === MESSAGE);
}
