import type { Test } from "tap";
import { meshIdentities } from "../../agent/answer/mesh-identities.ts";
import type { Snapshot } from "../../agent/answer/snapshot.ts";
import type { Config, DpopConfig } from "../../agent/config/config.ts";
import type { Identity, Verification, Waiter } from "../../agent/identity/identity.ts";
import { ALGORITHMS } from "../../agent/identity/jwt/signature.ts";
import { bearerText } from "../../agent/identity/jwt/token.ts";
import type { Patience } from "../../agent/server/half-sent.ts";
import { SpopServer } from "../../agent/server/spop-server.ts";
import type { Observation, ServerEvents } from "../../agent/telemetry/events.ts";
import type { Decision } from "../../policies/decision.ts";
import type { Policies, Route } from "../../policies/policies.ts";
import type { Principal } from "../../policies/principal.ts";
import { STRICT } from "../../policies/routing/path.ts";
import { type ClientOptions, SpopClient } from "../../protocol/client.ts";
import type { Action, Argument, Message } from "../../protocol/decode.ts";
import type { Value } from "../../protocol/value.ts";

/** What proofs are held to, as documented. */
export const DPOP: DpopConfig = {
  algorithms: ALGORITHMS,
  maxAge: 60_000,
  clockTolerance: 10_000,
  nonces: false,
  secret: undefined,
  ports: [],
  remembered: 1000,
  store: undefined,
};

/** A configuration with the documented defaults, and no files behind it. */
export const CONFIG: Config = {
  file: "/etc/countersign/countersign.yaml",
  listen: { spop: [{ host: "127.0.0.1", port: 0 }], admin: undefined, web: undefined },
  workers: 1,
  policies: [],
  issuers: [],
  haproxy: {
    version: "3.2",
    identityPrefix: "x-auth-",
    bind: ["127.0.0.1:0"],
    client: { from: "connection", trusted: [] },
    scheme: "http",
    accessLog: [],
    largestBody: 16384,
    agents: { servers: undefined, tls: undefined },
    backends: {},
  },
  dpop: DPOP,
  mesh: undefined,
  assertion: undefined,
  deadline: 400,
  cache: { identities: 1000, lifetime: 300_000, refusals: 100 },
  limits: { token: 8192, connections: 64, inFlight: 100, fetches: 16 },
  audit: undefined,
  log: { level: "info", decisions: "all", destination: "stdout" },
};

export const ALICE: Principal = {
  issuer: "idp",
  subject: "alice",
  kind: "person",
  groups: ["Orders Readers"],
  scopes: ["orders:read"],
  audiences: ["api://orders"],
  claims: {},
  client: undefined,
  actor: [],
  arn: undefined,
  uri: undefined,
  authenticatedAt: undefined,
  expiresAt: Number.MAX_SAFE_INTEGER,
  bound: "",
};

/** Policies of one route, as plain values: what they decide is not what is tested here. */
export function policiesOf(max = 256, value?: string): Policies {
  const identityHeaders = [{ name: "x-auth-subject", max }];
  const needs = { query: false, requestHeaders: [], claims: [], identityHeaders, credentials: ["bearer"], proofs: [] };
  const service = {
    name: "orders",
    hosts: [],
    issuers: new Set(["idp"]),
    audiences: [],
    cors: undefined,
    preflight: false,
    leniency: STRICT,
    mesh: undefined,
  };
  const routes: Route[] = [];
  const route: Route = {
    name: "read",
    rule: "orders/read",
    service: { ...service, routes },
    backend: "orders",
    patterns: [],
    access: "required",
    forwardCredential: false,
    upstreamToken: undefined,
    needs,
    resource: undefined,
    asks: { allow: [], deny: [], scopes: [], when: undefined, stepUp: undefined },
  };
  routes.push(route);
  return {
    revision: "abc123",
    services: [route.service],
    uses: needs,
    match: (host) => ({ route, params: {}, host, preflight: false }),
    decide: (_match, principal) => decisionFor(principal, value),
  };
}

function decisionFor(principal: Principal | undefined, value: string | undefined): Decision {
  const decision = { rule: "orders/read", roles: [], scopes: [], headers: [], shadow: undefined };
  if (principal === undefined) return { ...decision, verdict: "deny", reason: "credential-missing" };
  const headers = [{ name: "x-auth-subject", value: value ?? principal.subject }];
  return { ...decision, verdict: "allow", reason: "allowed", headers };
}

/** What the server's events told, in order. */
export class Recorder implements ServerEvents {
  readonly observations: Observation[] = [];
  readonly errors: string[] = [];
  readonly bugs: string[] = [];
  advice = "";
  unanswered = 0;
  checks = 0;
  open = 0;
  connected(): void {
    this.open++;
  }
  disconnected(): void {
    this.open--;
  }
  decided(observation: Observation): void {
    this.observations.push(observation);
  }
  protocolError(code: string): void {
    this.errors.push(code);
  }
  dropped(count: number): void {
    this.unanswered += count;
  }
  unexpected(where: string, error: unknown): void {
    this.bugs.push(`${where}: ${error}`);
  }
  unpipelined(advice: string): void {
    this.advice = advice;
  }
  healthCheck(): void {
    this.checks++;
  }
}

type Verify = (waiter?: Waiter) => Verification | Promise<Verification>;

/** An identity whose tokens are the keys of a table: nothing is verified, so that a test can say what comes when. */
export function identityOf(table: Readonly<Record<string, Verify>>): Identity {
  return {
    verify(token, _now, waiter) {
      const text = typeof token === "string" ? token : bearerText(token);
      if (text === undefined) return { principal: undefined, reason: "credential-malformed" };
      return (
        (Object.hasOwn(table, text) ? table[text]?.(waiter) : undefined) ?? {
          principal: undefined,
          reason: "signature-invalid",
        }
      );
    },
    prove: () => ({ refusal: { reason: "proof-missing" } }),
    ready: () => Promise.resolve(),
    status: () => [],
    keysOf: () => [],
    caches: () => ({ identities: { entries: 0, limit: 0 }, refusals: { entries: 0, limit: 0 } }),
    close: () => {},
  };
}

export function snapshotOf(policies: Policies, identity: Identity, config: Partial<Config> = {}): Snapshot {
  const whole = { ...CONFIG, ...config };
  return {
    config: whole,
    policies,
    identity,
    meshIdentities: meshIdentities(whole, policies.services),
    assertions: undefined,
    revision: policies.revision,
    inForce: { revision: "", configuration: "", files: {} },
    unrecorded: undefined,
  };
}

export interface Running {
  readonly server: SpopServer;
  readonly events: Recorder;
  readonly port: number;
}

/** A server on a port of its own; the caller closes it. */
export async function startServer(
  snapshot: Snapshot,
  clock: () => number = Date.now,
  atPort = 0,
  patience: Partial<Patience> = {},
): Promise<Running> {
  const events = new Recorder();
  const server = new SpopServer({ snapshot, events, clock, patience });
  await server.listen([{ host: "127.0.0.1", port: atPort }]);
  const [address] = server.addresses;
  if (address === undefined || !("port" in address)) throw new Error("no port");
  return { server, events, port: address.port };
}

/** An identity of one token, `alice`. */
export const IDENTITY = identityOf({ alice: () => ({ principal: ALICE }) });

/** A server that ends with the test. */
export async function serverOf(
  t: Test,
  policies: Policies = policiesOf(),
  identity: Identity = IDENTITY,
  config: Partial<Config> = {},
  patience: Partial<Patience> = {},
): Promise<Running> {
  const running = await startServer(snapshotOf(policies, identity, config), Date.now, 0, patience);
  t.teardown(() => running.server.close());
  return running;
}

/** HAProxy's side of one connection to it. */
export async function clientOf(t: Test, port: number, options: ClientOptions = {}): Promise<SpopClient> {
  const client = await SpopClient.open({ host: "127.0.0.1", port }, options);
  t.teardown(() => client.socket.destroy());
  return client;
}

/** An ACK's variables by their names. */
export function valuesOf(actions: readonly Action[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(actions.map(({ name, value }) => [name, value.value]));
}

/** The one message of a generated NOTIFY. */
export function messageOf(overrides: Parameters<typeof argumentsFor>[0] = {}): readonly Message[] {
  return [{ name: "authorize", args: argumentsFor(overrides) }];
}

/** The arguments of a generated `authorize` message; `undefined` leaves one out, null sends NULL. */
export function argumentsFor(overrides: Readonly<Record<string, Value | string | null | undefined>> = {}): Argument[] {
  const all = {
    id: "0123456789abcdef0123456789abcdef",
    src: { type: "ipv4", value: "192.0.2.7" } as const,
    tls: { type: "bool", value: true } as const,
    method: "GET",
    host: "orders.example.com",
    path: "/v1/orders",
    authorization: "Bearer alice",
    contract: "1:subject:h_x-auth-subject:h_x-auth-roles",
    ...overrides,
  };
  return Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [{ name, value: typed(value) }]));
}

function typed(value: Value | string | null): Value {
  if (value === null) return { type: "null" };
  return typeof value === "string" ? { type: "string", value } : value;
}
