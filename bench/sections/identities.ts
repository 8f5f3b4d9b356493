import { countersign } from "../contestants/countersign.ts";
import { type Parties, startParties } from "../contestants/identities.ts";
import {
  bearer,
  MESHED_REQUEST,
  NO_TOKEN,
  opaqueToken,
  provenRequests,
  roleToken,
  roleTokens,
} from "../credentials.ts";
import { paced, type Request } from "../load/load.ts";
import type { Result, Sample } from "../results.ts";
import { type Field, measured, measureOnce, mustBeRight, type Options, type Row, warmUp } from "../rounds.ts";
import type { Contestant, Stage, Subject } from "../stage.ts";
import { fileOf, ONE_TOKEN, type Traffic } from "../traffic.ts";
import { measureAt, QUARTER, saturation, TIMES } from "./latency.ts";
import { CONNECTIONS } from "./throughput.ts";

export const IDENTITIES = { name: "countersign, every identity" };

export const OIDC = "OIDC token";
const OPAQUE = "opaque token, introspected";
const API_KEY = "API key";
const AWS = "AWS role";
const SESSION = "session of a browser";
export const CERTIFICATE = "client certificate";
export const DPOP = "DPoP, every proof new";
export const MESH = "client of the mesh, by a stand-in of Linkerd's proxy";
/** The references of what comes by a relay: fewer come at a time, and an agent with less to do costs more a request. */
export const OIDC_TLS = "OIDC token by TLS";
export const OIDC_MESH = "OIDC token at the mesh's bind";
/** What a warm request should cost as much as with an OIDC token. */
export const ALIKE = [OPAQUE, API_KEY, AWS, SESSION] as const;

export const ALONE = `${OIDC}, ${QUARTER}`;
export const SLOW_INTROSPECTION = `${ALONE}, beside slow introspection`;
export const SLOW_STS = `${ALONE}, beside slow STS`;

/** Milliseconds; and new tokens a second, as many as wait for such answers on all connections. */
const SLOW = 2000;
const NEW_TOKENS = 100;
/** Proofs a second of load; each is sent once. */
const PROOFS = 2000;

interface Kind {
  readonly row: Row;
  readonly subject: Subject;
  readonly samples: Sample[];
}

/** What each way to show who one is costs one and the same agent, and whether those that ask elsewhere delay others. */
export async function measureIdentities(field: Field, options: Options): Promise<readonly Result[]> {
  const { stage } = field;
  const parties = await startParties(stage);
  try {
    // One header: others have no more claims than a subject.
    const contestant = countersign(IDENTITIES.name, { headers: 1, others: parties.others });
    const subject = await contestant.start(stage);
    const warm = await measureKinds(stage, kindsOf(contestant, subject, parties), subject, options);
    parties.delay(SLOW);
    const beside = await measureSlow(stage, subject, options);
    subject.haproxy.kill("SIGKILL");
    subject.agent?.kill("SIGTERM");
    return [...warm, ...beside];
  } finally {
    await parties.close();
  }
}

async function measureKinds(
  stage: Stage,
  kinds: readonly Kind[],
  subject: Subject,
  options: Options,
): Promise<readonly Result[]> {
  const proven: Sample[] = [];
  for (const { row, subject: at } of kinds) await warmUp(stage, row, at, options);
  for (let round = 1; round <= options.rounds; round++) {
    options.tell(`identities: round ${round} of ${options.rounds}, ${kinds.length + 1} rows`);
    for (const { row, subject: at, samples } of kinds) samples.push(await measureOnce(stage, row, at, options));
    proven.push(await measureProven(stage, subject, options, round));
  }
  return [...kinds.map(({ row, samples }) => resultOf(row.scenario, samples)), resultOf(DPOP, proven)];
}

function kindsOf(contestant: Contestant, subject: Subject, { apiKey, session, relay }: Parties): readonly Kind[] {
  const kind = (scenario: string, traffic: Traffic, port = subject.port): Kind => {
    const row = { contestant, scenario, traffic, connections: CONNECTIONS };
    return { row, subject: { ...subject, port }, samples: [] };
  };
  const sending = (scenario: string, request: Request, port?: number) => {
    return kind(
      scenario,
      allowed(scenario, () => [request]),
      port,
    );
  };
  return [
    kind(OIDC, ONE_TOKEN),
    sending(OPAQUE, bearer(opaqueToken())),
    sending(API_KEY, bearer(apiKey)),
    sending(AWS, bearer(roleToken())),
    sending(SESSION, session),
    kind(OIDC_TLS, ONE_TOKEN, relay.none),
    sending(CERTIFICATE, NO_TOKEN, relay.certificate),
    kind(OIDC_MESH, ONE_TOKEN, relay.mesh),
    sending(MESH, MESHED_REQUEST, relay.mesh),
  ];
}

/** By our own client, which sends each proof once. */
async function measureProven(stage: Stage, subject: Subject, options: Options, round: number): Promise<Sample> {
  const traffic = allowed(`${DPOP}, ${round}`, (issuer) => provenRequests(issuer, PROOFS * options.seconds));
  const load = { port: subject.port, file: fileOf(stage, traffic), connections: CONNECTIONS };
  const sample = await measured(subject, traffic, () => paced(load));
  mustBeRight(`${IDENTITIES.name}, ${DPOP}`, sample, options);
  return sample;
}

/** Requests with a warm token, beside new tokens of a kind whose answers take long. */
async function measureSlow(stage: Stage, subject: Subject, options: Options): Promise<readonly Result[]> {
  const rate = (await saturation(stage, subject, options)) / 4;
  const count = NEW_TOKENS * (options.seconds + 4);
  const rows = [
    { scenario: ALONE, tokens: undefined, samples: [] as Sample[] },
    { scenario: SLOW_INTROSPECTION, tokens: () => Array.from({ length: count }, opaqueToken), samples: [] as Sample[] },
    { scenario: SLOW_STS, tokens: () => roleTokens(count), samples: [] as Sample[] },
  ];
  const rounds = options.rounds * TIMES;
  for (let round = 1; round <= rounds; round++) {
    options.tell(`identities: round ${round} of ${rounds}, ${rows.length} rows beside slow answers`);
    for (const { scenario, tokens, samples } of rows) {
      const traffic = tokens && allowed(`${scenario}, ${round}`, () => tokens().map(bearer));
      const beside = traffic && { traffic, rate: NEW_TOKENS };
      samples.push(await measureAt(stage, subject, rate, options.seconds, beside));
    }
  }
  return rows.map(({ scenario, samples }) => resultOf(scenario, samples));
}

function allowed(name: string, requests: Traffic["requests"]): Traffic {
  return { name, expect: "allowed", requests };
}

function resultOf(scenario: string, samples: readonly Sample[]): Result {
  return { section: "identities", scenario, contestant: IDENTITIES.name, connections: CONNECTIONS, samples };
}
