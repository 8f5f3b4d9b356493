import { elsewhere, keptElsewhere } from "../claim-path.ts";
import type { Actor, Principal } from "../principal.ts";
import type { PolicyRequest } from "../request.ts";
import { known, Unknown } from "../unknown.ts";

/** What an expression is evaluated for. */
export interface ExpressionInput {
  readonly request: PolicyRequest;
  /** Captures of the route's pattern. */
  readonly params: Readonly<Record<string, string>>;
  /** `undefined`: anonymous, and an expression that reads the principal cannot be told. */
  readonly principal: Principal | undefined;
  /** The principal's roles in these policies. */
  readonly roles: readonly string[] | Unknown;
}

/** `request` and `principal` of one evaluation. Nothing is copied: a field is worked out when it is read. */
export class PolicyActivation {
  readonly request: RequestView;
  readonly principal: PrincipalView | undefined;

  constructor({ request, params, principal, roles }: ExpressionInput) {
    this.request = new RequestView(request, params);
    this.principal = principal === undefined ? undefined : new PrincipalView(principal, roles);
  }
}

/** The fields stand in language.ts; CEL reads no others. */
export class RequestView {
  readonly params: Readonly<Record<string, string>>;
  readonly #request: PolicyRequest;

  constructor(request: PolicyRequest, params: Readonly<Record<string, string>>) {
    this.#request = request;
    this.params = params;
  }

  get method(): string {
    return this.#request.method;
  }

  get host(): string {
    return this.#request.host;
  }

  get path(): string {
    return this.#request.path;
  }

  get query(): string {
    return this.#request.query;
  }

  get headers(): Readonly<Record<string, string>> {
    return this.#request.headers;
  }

  get src(): string {
    return this.#request.src;
  }

  get tls(): boolean {
    return this.#request.tls;
  }

  get time(): Date {
    return new Date(this.#request.time);
  }
}

/** The fields stand in language.ts; CEL reads no others. `undefined` is absent, and what is unknown throws. */
export class PrincipalView {
  readonly #principal: Principal;
  readonly #roles: readonly string[] | Unknown;
  #actor: readonly ActorView[] | undefined;

  constructor(principal: Principal, roles: readonly string[] | Unknown) {
    this.#principal = principal;
    this.#roles = roles;
  }

  get subject(): string {
    return this.#principal.subject;
  }

  get issuer(): string {
    return this.#principal.issuer;
  }

  get kind(): string {
    return known(this.#principal.kind);
  }

  get groups(): readonly string[] {
    return known(this.#principal.groups);
  }

  get roles(): readonly string[] {
    return known(this.#roles);
  }

  get scopes(): readonly string[] {
    return known(this.#principal.scopes);
  }

  get claims(): unknown {
    return known(readable(this.#principal.claims));
  }

  get client(): string | undefined {
    return known(this.#principal.client);
  }

  get actor(): readonly ActorView[] {
    this.#actor ??= known(this.#principal.actor).map((actor) => new ActorView(actor));
    return this.#actor;
  }

  get arn(): string | undefined {
    return this.#principal.arn;
  }

  get uri(): string | undefined {
    return this.#principal.uri;
  }

  get authenticated_at(): Date | undefined {
    const at = known(this.#principal.authenticatedAt);
    return at === undefined ? undefined : new Date(at);
  }

  get expires_at(): Date {
    return new Date(this.#principal.expiresAt);
  }

  get bound(): string {
    return this.#principal.bound;
  }
}

export class ActorView {
  readonly #actor: Actor;

  constructor(actor: Actor) {
    this.#actor = actor;
  }

  get subject(): string {
    return this.#actor.subject;
  }

  get issuer(): string | undefined {
    return this.#actor.issuer;
  }

  get kind(): string | undefined {
    return known(this.#actor.kind);
  }
}

/** `null` for claims that are readable as they are: were they their own value, no scavenge would ever let go of them. */
const READABLE = new WeakMap<object, unknown>();

/**
 * Claims as the library can read them. It tells a map by its `constructor`, so objects that hold a claim of that name
 * become Maps; others stay as they are. Worked out once for each principal.
 */
function readable(claims: Principal["claims"]): unknown {
  let found = READABLE.get(claims);
  if (found === undefined) {
    const away = elsewhere(claims);
    if (away instanceof Unknown) found = away;
    else if (away.length > 0) found = withElsewhere(claims, away);
    else found = holdsConstructor(claims) ? asMap(claims) : null;
    READABLE.set(claims, found);
  }
  return found ?? claims;
}

/** Claims of which some are elsewhere: to read one of those, or ask for it with `has`, throws. */
function withElsewhere(claims: Principal["claims"], away: readonly string[]): object {
  const view: Record<string, unknown> = { ...claims };
  for (const name of away) {
    if (Object.hasOwn(view, name) && view[name] !== null) continue;
    const unknown = keptElsewhere(name);
    Object.defineProperty(view, name, { enumerable: true, configurable: true, get: () => known(unknown) });
  }
  return holdsConstructor(claims) ? (asMap(view) as object) : view;
}

function holdsConstructor(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.hasOwn(value, "constructor") || Object.values(value).some(holdsConstructor);
}

function asMap(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(asMap);
  return new Map(Object.entries(value).map(([name, member]) => [name, asMap(member)]));
}
