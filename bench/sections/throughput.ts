import { countersign, otherVersion } from "../contestants/countersign.ts";
import { COOKIE, CRITEO } from "../contestants/criteo.ts";
import { FLOOR } from "../contestants/floor.ts";
import { haproxyGo, spoeGo } from "../contestants/go.ts";
import { jwtVerify, PLAIN } from "../contestants/handwritten.ts";
import { OAUTH2_PROXY } from "../contestants/oauth2-proxy.ts";
import { ALGORITHMS, type Algorithm } from "../issuer.ts";
import type { Row } from "../rounds.ts";
import type { Contestant } from "../stage.ts";
import { COLD_IDENTITIES, cold, ONE_TOKEN, oneToken, REFUSED, TRACED_TOKEN, type Traffic, tokens } from "../traffic.ts";

/** Connections of the sections that do not vary them. */
export const CONNECTIONS = 64;

export const COUNTERSIGN = countersign("countersign");
export const COLD = countersign("countersign, cold", { identities: COLD_IDENTITIES });
export const OTHER = otherVersion("countersign, the other version");
export const OTHER_COLD = otherVersion("countersign, the other version, cold", { identities: COLD_IDENTITIES });
export const JWT_VERIFY = jwtVerify("RS256");
export const GO_CONSTANT = spoeGo("constant");
export const GO_VERIFY = spoeGo("verify");
const GO_CACHE = spoeGo("cache");
export const HAPROXY_GO_CONSTANT = haproxyGo("constant");
const HAPROXY_GO_VERIFY = haproxyGo("verify");
const HAPROXY_GO_CACHE = haproxyGo("cache");

export const WARM = "one warm token";
export const MANY = "10,000 warm tokens";
export const coldScenario = (algorithm: Algorithm) => `every token new, ${algorithm}`;
export const routesScenario = (n: number) => `${n.toLocaleString("en")} routes`;
export const SHARED = "10,000 routes of 100 services at ten hosts";
export const headersScenario = (n: number) => `${n} identity headers`;

export const withRoutes = (n: number) => countersign(`countersign, ${routesScenario(n)}`, { routes: n });
export const SHARED_ROUTES = countersign("countersign, shared hosts", { routes: 10_000, services: 100 });
export const withHeaders = (n: number) => countersign(`countersign, ${headersScenario(n)}`, { headers: n });
export const LOGGED = "each decision logged";
export const AUDIT = "each decision in an audit log besides";
export const SPANS = "each decision a span besides";
export const ALL_LOGGED = countersign("countersign, all logged", { decisions: "all" });
export const AUDITED = countersign("countersign, audit log", { decisions: "all", also: "audit" });
export const TRACED = countersign("countersign, traces", { decisions: "all", also: "traces" });
const CONDITION = '"mfa" in principal.claims.amr && request.params.id != "0"';

const row = (contestant: Contestant, scenario: string, traffic: Traffic, connections = CONNECTIONS): Row => {
  return { contestant, scenario, traffic, connections };
};

/** What is close to what it is held against is measured for longer. */
function longer(row: Row): Row {
  return { ...row, times: 4 };
}

/** One identity, known to all who remember any: what each costs at rest and at full load. */
export function warmRows(connections: readonly number[]): readonly Row[] {
  const contestants = [
    ...[PLAIN, COUNTERSIGN, JWT_VERIFY, FLOOR, GO_CONSTANT, GO_VERIFY, GO_CACHE],
    ...[HAPROXY_GO_CONSTANT, HAPROXY_GO_VERIFY, HAPROXY_GO_CACHE],
  ];
  const others = [countersign("countersign by TCP", { transport: "tcp" }), ALL_LOGGED];
  return [
    ...connections.flatMap((n) => contestants.map((contestant) => row(contestant, WARM, ONE_TOKEN, n))),
    ...others.map((contestant) => row(contestant, WARM, ONE_TOKEN)),
    row(OAUTH2_PROXY, WARM, ONE_TOKEN),
    row(CRITEO, WARM, COOKIE),
  ];
}

/** More identities than fit the processor's caches. */
export function manyRows(): readonly Row[] {
  const many = tokens(10_000, "RS256");
  return [PLAIN, COUNTERSIGN, GO_CACHE, HAPROXY_GO_CACHE].map((contestant) => row(contestant, MANY, many));
}

/** Every token is new to the agent. */
export function coldRows(): readonly Row[] {
  return ALGORITHMS.flatMap((algorithm) => {
    const traffic = cold(algorithm);
    return [PLAIN, COLD, GO_VERIFY, HAPROXY_GO_VERIFY].map((contestant) => {
      return row(contestant, coldScenario(algorithm), traffic);
    });
  });
}

/** Two versions of Countersign and nothing else, so that little time lies between what is compared. */
export function versionRows(): readonly Row[] {
  const many = tokens(10_000, "RS256");
  return [
    ...[COUNTERSIGN, OTHER].map((contestant) => row(contestant, WARM, ONE_TOKEN)),
    ...[COUNTERSIGN, OTHER].map((contestant) => row(contestant, MANY, many)),
    ...ALGORITHMS.flatMap((algorithm) => {
      const traffic = cold(algorithm);
      return [COLD, OTHER_COLD].map((contestant) => row(contestant, coldScenario(algorithm), traffic));
    }),
  ];
}

/** What the policies ask for. */
export function policyRows(): readonly Row[] {
  return [
    row(PLAIN, WARM, ONE_TOKEN),
    row(COUNTERSIGN, "refused by policy", REFUSED),
    ...[10, 1000, 10_000].map((n) => row(withRoutes(n), routesScenario(n), oneToken(n))),
    row(SHARED_ROUTES, SHARED, oneToken(10_000)),
    row(countersign("countersign, condition", { when: CONDITION }), "with a CEL condition", ONE_TOKEN),
    ...[row(ALL_LOGGED, LOGGED, ONE_TOKEN), row(AUDITED, AUDIT, ONE_TOKEN), row(TRACED, SPANS, TRACED_TOKEN)].map(
      longer,
    ),
    row(countersign("countersign, assertion", { also: "assertion" }), "with an assertion each", ONE_TOKEN),
    ...[0, 4, 12].map((n) => row(withHeaders(n), headersScenario(n), ONE_TOKEN)),
  ];
}
