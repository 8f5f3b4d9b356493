import { countersign } from "../contestants/countersign.ts";
import { FLOOR } from "../contestants/floor.ts";
import { spoeGo } from "../contestants/go.ts";
import { jwtVerify, PLAIN } from "../contestants/handwritten.ts";
import { ALGORITHMS } from "../issuer.ts";
import type { Row } from "../rounds.ts";
import type { Contestant } from "../stage.ts";
import { COLD_IDENTITIES, cold, ONE_TOKEN, oneToken, REFUSED, type Traffic, tokens } from "../traffic.ts";

/** Connections of the sections that do not vary them. */
export const CONNECTIONS = 64;

export const COUNTERSIGN = countersign("countersign");
export const JWT_VERIFY = jwtVerify("RS256");
export const GO_CONSTANT = spoeGo("constant");
export const GO_VERIFY = spoeGo("verify");
const GO_CACHE = spoeGo("cache");
const COLD = countersign("countersign, cold", { identities: COLD_IDENTITIES });

export const ROUTES = [10, 1000, 10_000] as const;
export const HEADERS = [0, 4, 12] as const;
const CONDITION = '"mfa" in principal.claims.amr && request.params.id != "0"';

const row = (contestant: Contestant, scenario: string, traffic: Traffic, connections = CONNECTIONS): Row => {
  return { contestant, scenario, traffic, connections };
};

/** One identity, known to all who remember any: what each costs at rest and at full load. */
export function warmRows(connections: readonly number[]): readonly Row[] {
  const contestants = [PLAIN, COUNTERSIGN, JWT_VERIFY, FLOOR, GO_CONSTANT, GO_VERIFY, GO_CACHE];
  const others = [
    countersign("countersign by TCP", { transport: "tcp" }),
    countersign("countersign, all logged", { decisions: "all" }),
  ];
  return [
    ...connections.flatMap((n) => contestants.map((contestant) => row(contestant, "one warm token", ONE_TOKEN, n))),
    ...others.map((contestant) => row(contestant, "one warm token", ONE_TOKEN)),
  ];
}

/** More identities than fit the processor's caches. */
export function manyRows(): readonly Row[] {
  const many = tokens(10_000, "RS256");
  return [PLAIN, COUNTERSIGN, GO_CACHE].map((contestant) => row(contestant, "10,000 warm tokens", many));
}

/** Every token is new to the agent. */
export function coldRows(): readonly Row[] {
  return ALGORITHMS.flatMap((algorithm) => {
    return [PLAIN, COLD, GO_VERIFY].map((contestant) =>
      row(contestant, `every token new, ${algorithm}`, cold(algorithm)),
    );
  });
}

/** What the policies ask for. */
export function policyRows(): readonly Row[] {
  const routes = ROUTES.map((n) =>
    row(countersign(`countersign, ${n} routes`, { routes: n }), `${n} routes`, oneToken(n)),
  );
  const headers = HEADERS.map((n) => {
    return row(countersign(`countersign, ${n} headers`, { headers: n }), `${n} identity headers`, ONE_TOKEN);
  });
  return [
    row(PLAIN, "one warm token", ONE_TOKEN),
    row(COUNTERSIGN, "refused by policy", REFUSED),
    ...routes,
    row(countersign("countersign, condition", { when: CONDITION }), "with a CEL condition", ONE_TOKEN),
    ...headers,
  ];
}
