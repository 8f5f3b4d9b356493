import { FLOOR } from "./contestants/floor.ts";
import { PLAIN } from "./contestants/handwritten.ts";
import { OAUTH2_PROXY } from "./contestants/oauth2-proxy.ts";
import { ALGORITHMS } from "./issuer.ts";
import { type Column, column, median, type Report } from "./results.ts";
import { CACHED_MEMORY, START_TIME } from "./sections/footprint.ts";
import {
  ALIKE,
  ALONE,
  CERTIFICATE,
  DPOP,
  IDENTITIES,
  MESH,
  OIDC,
  OIDC_MESH,
  OIDC_TLS,
  SLOW_INTROSPECTION,
  SLOW_STS,
} from "./sections/identities.ts";
import { FLOOD, HALF, QUARTER } from "./sections/latency.ts";
import {
  ALL_LOGGED,
  AUDIT,
  AUDITED,
  COLD,
  CONNECTIONS,
  COUNTERSIGN,
  coldScenario,
  GO_CONSTANT,
  GO_VERIFY,
  HAPROXY_GO_CONSTANT,
  headersScenario,
  JWT_VERIFY,
  LOGGED,
  MANY,
  OTHER,
  OTHER_COLD,
  routesScenario,
  SHARED,
  SHARED_ROUTES,
  SPANS,
  TRACED,
  WARM,
  withHeaders,
  withRoutes,
} from "./sections/throughput.ts";
import { EVEN, ONE_WORKER, SATURATED, SATURATED_MANY, smallerShare, TWO_WORKERS } from "./sections/workers.ts";

/** A promise about what a verdict costs: less is better, unless it is said to be more. */
export interface Figure {
  readonly what: string;
  /** What has to hold; undefined where nothing has to, and the figure is to be known. */
  readonly must?: number;
  /** What we push for. */
  readonly goal?: number;
  readonly better?: "more";
  /** What this run reached; undefined where it was not measured. */
  readonly reached: number | undefined;
}

/** One cell of the tables, round by round, in the rows of 64 connections. */
type Cell = (
  section: string,
  scenario: string,
  contestant: { readonly name: string },
  column: Column,
) => readonly number[] | undefined;

/** The figures of one report: ratios of the same run, but for memory and time. */
export function figuresOf(report: Report): readonly Figure[] {
  const cell = cellsOf(report);
  return [
    ...warmFigures(cell, report.haproxy.startsWith("2.")),
    ...coldFigures(cell),
    ...otherFigures(cell, report),
    ...identityFigures(cell),
    ...workerFigures(cell, report),
    ...versionFigures(cell),
  ];
}

function warmFigures(cell: Cell, old: boolean): readonly Figure[] {
  const warm = (contestant: { readonly name: string }, column: Column) => cell("warm", WARM, contestant, column);
  const both = warm(COUNTERSIGN, "both");
  const agent = warm(COUNTERSIGN, "agent");
  const verify = old ? { must: 0.65, goal: 0.5 } : { must: 1, goal: 0.8 };
  return [
    {
      what: "warm CPU, HAProxy and agent / jwt_verify RS256",
      ...verify,
      reached: ratio(both, warm(JWT_VERIFY, "both")),
    },
    {
      what: "warm CPU, HAProxy and agent / oauth2-proxy",
      must: 0.15,
      goal: 0.1,
      reached: ratio(both, warm(OAUTH2_PROXY, "both")),
    },
    {
      what: "warm CPU, HAProxy and agent / constant haproxy-go",
      must: 0.8,
      goal: 0.6,
      reached: ratio(both, warm(HAPROXY_GO_CONSTANT, "both")),
    },
    {
      what: "warm CPU, agent / constant haproxy-spoe-go",
      must: 1,
      goal: 0.75,
      reached: ratio(agent, warm(GO_CONSTANT, "agent")),
    },
    {
      what: "warm CPU, agent / constant Node agent",
      must: 1.5,
      goal: 1.25,
      reached: ratio(agent, warm(FLOOR, "agent")),
    },
  ];
}

function coldFigures(cell: Cell): readonly Figure[] {
  const musts = { RS256: 1.3, ES256: 1.3, EdDSA: 1.8 } as const;
  return (["RS256", "ES256", "EdDSA"] as const).map((algorithm) => {
    const cold = (contestant: { readonly name: string }) => cell("cold", coldScenario(algorithm), contestant, "agent");
    const reached = ratio(cold(COLD), cold(GO_VERIFY));
    return { what: `cold CPU ${algorithm}, agent / golang-jwt`, must: musts[algorithm], goal: 1, reached };
  });
}

/** Only where another version was given. */
function versionFigures(cell: Cell): readonly Figure[] {
  const figure = (what: string, scenario: string, ours: { readonly name: string }, other: typeof ours): Figure => {
    const agent = (contestant: typeof ours) => cell("versions", scenario, contestant, "agent");
    return {
      what: `CPU, agent / the other version's, ${what}`,
      must: 1.03,
      goal: 1,
      reached: ratio(agent(ours), agent(other)),
    };
  };
  const figures = [
    figure(WARM, WARM, COUNTERSIGN, OTHER),
    figure(MANY, MANY, COUNTERSIGN, OTHER),
    ...ALGORITHMS.map((algorithm) => figure(`cold ${algorithm}`, coldScenario(algorithm), COLD, OTHER_COLD)),
  ];
  return figures.filter(({ reached }) => reached !== undefined);
}

function otherFigures(cell: Cell, report: Report): readonly Figure[] {
  const p99 = (scenario: string, contestant: { readonly name: string }) => cell("latency", scenario, contestant, "p99");
  const routes = (n: number) => cell("policies", routesScenario(n), withRoutes(n), "both");
  const headers = (n: number) => cell("policies", headersScenario(n), withHeaders(n), "both");
  const us = COUNTERSIGN;
  return [
    {
      what: "p99 at half of saturation / plain HAProxy",
      must: 3,
      goal: 2,
      reached: ratio(p99(HALF, us), p99(HALF, PLAIN)),
    },
    {
      what: "p99 at a quarter, beside a flood / without",
      must: 2,
      goal: 1.3,
      reached: ratio(p99(FLOOD, us), p99(QUARTER, us)),
    },
    { what: "CPU, 10,000 routes / 10", must: 1.1, goal: 1.05, reached: ratio(routes(10_000), routes(10)) },
    {
      what: "CPU, 10,000 routes of 100 services at ten hosts / 10",
      must: 1.1,
      goal: 1.05,
      reached: ratio(cell("policies", SHARED, SHARED_ROUTES, "both"), routes(10)),
    },
    {
      what: "CPU of the agent, with an audit log / without",
      must: 1.1,
      goal: 1.05,
      reached: ratio(cell("policies", AUDIT, AUDITED, "agent"), cell("policies", LOGGED, ALL_LOGGED, "agent")),
    },
    {
      what: "CPU of the agent, with a span each / without",
      reached: ratio(cell("policies", SPANS, TRACED, "agent"), cell("policies", LOGGED, ALL_LOGGED, "agent")),
    },
    { what: "CPU, 12 identity headers / 4", must: 1.3, goal: 1.15, reached: ratio(headers(12), headers(4)) },
    { what: `${CACHED_MEMORY}, MB`, must: 150, goal: 80, reached: factOf(report, CACHED_MEMORY) },
    { what: `${START_TIME}, ms`, must: 300, goal: 300, reached: factOf(report, START_TIME) },
  ];
}

/** Without a bound for DPoP: each request has a signature that is new. */
function identityFigures(cell: Cell): readonly Figure[] {
  const of = (scenario: string, column: Column) => cell("identities", scenario, IDENTITIES, column);
  const cost = (scenario: string, reference = OIDC) => {
    return {
      what: `CPU, agent, ${scenario} / ${reference}`,
      reached: ratio(of(scenario, "agent"), of(reference, "agent")),
    };
  };
  const delay = (scenario: string) => {
    return { what: `p99, ${scenario} / without`, reached: ratio(of(scenario, "p99"), of(ALONE, "p99")) };
  };
  return [
    ...ALIKE.map((scenario) => ({ ...cost(scenario), must: 1.1, goal: 1.05 })),
    { ...cost(CERTIFICATE, OIDC_TLS), must: 1.1, goal: 1.05 },
    { ...cost(MESH, OIDC_MESH), must: 1.1, goal: 1.05 },
    cost(DPOP),
    ...[SLOW_INTROSPECTION, SLOW_STS].map((scenario) => ({ ...delay(scenario), must: 1.5, goal: 1.2 })),
  ];
}

/** Whether what was reached is as good as a bound. */
export function meets({ reached, better }: Figure, bound: number | undefined): boolean {
  if (reached === undefined || bound === undefined) return false;
  return better === "more" ? reached >= bound : reached <= bound;
}

function workerFigures(cell: Cell, report: Report): readonly Figure[] {
  const costs = [EVEN, SATURATED].map((scenario): Figure => {
    const cost = (contestant: { readonly name: string }) => cell("workers", scenario, contestant, "agent");
    const what = `requests a second of agent CPU, two workers / one, ${scenario}`;
    return { what, must: 0.85, goal: 1, better: "more", reached: ratio(cost(ONE_WORKER), cost(TWO_WORKERS)) };
  });
  const shares = [SATURATED, SATURATED_MANY].map((scenario): Figure => {
    const share = smallerShare(scenario);
    return { what: `${share}, %`, must: 40, goal: 45, better: "more", reached: factOf(report, share) };
  });
  return [...costs, ...shares];
}

function cellsOf({ results }: Report): Cell {
  return (section, scenario, contestant, name) => {
    const result = results.find((one) => {
      const here = one.section === section && one.connections === CONNECTIONS;
      return here && one.scenario === scenario && one.contestant === contestant.name;
    });
    return result === undefined ? undefined : column(result, name);
  };
}

/** The median of the rounds' own ratios: a machine that is slower in one round than in the next is so for both. */
function ratio(a: readonly number[] | undefined, b: readonly number[] | undefined): number | undefined {
  if (a === undefined || b === undefined) return undefined;
  return median(a.map((value, round) => value / (b[round] ?? Number.NaN)));
}

function factOf({ facts }: Report, name: string): number | undefined {
  const fact = facts.find((one) => one.name === name);
  return fact === undefined ? undefined : median(fact.values);
}
