import type { Decision, Reason, Verdict } from "../../policies/decision.ts";
import type { Principal } from "../../policies/principal.ts";
import { Unknown } from "../../policies/unknown.ts";
import { DECISION_FIELDS, type DecisionField } from "../../records/decision.ts";
import type { DecisionSink, LogOptions, Observation } from "./events.ts";
import { replayField } from "./replay-field.ts";
import { jsonText } from "./safe-text.ts";
import type { LineSink } from "./sink.ts";

/** The bounds of records/decision.ts. The longest possible line has about 28 kB, nearly all of it escapes. */
const {
  request_id: { max: ID },
  src: { max: ADDRESS },
  method: { max: METHOD },
  host: { max: HOST },
  path: { max: PATH },
  issuer: { max: ISSUER },
  subject: { max: SUBJECT },
  client: { max: PARTY },
  act_chain: { max: CHAIN },
  rule: { max: RULE },
  revision: { max: REVISION },
  claim: { max: CLAIM },
  mcp_tool: { max: TOOL },
} = DECISION_FIELDS;

/** What stands before the value of each field. */
const BEFORE = Object.fromEntries(Object.keys(DECISION_FIELDS).map((name) => [name, whole(`,"${name}":`)])) as {
  readonly [Name in DecisionField]: string;
};
/** The same between two texts, with the quotes of both. */
const SRC_IS = whole(`"${BEFORE.src}"`);
const METHOD_IS = whole(`"${BEFORE.method}"`);
const HOST_IS = whole(`"${BEFORE.host}"`);
const PATH_IS = whole(`"${BEFORE.path}"`);

// More rules than this in one set of policies only make the cache of tails useless, never large.
const LARGEST_CACHE = 20_000;

interface Tail {
  readonly verdict: Verdict;
  readonly status: number;
  readonly revision: string;
  readonly text: string;
}

/** Writes decisions into the log: all of them, or those that were not allowed. */
export class DecisionLog implements DecisionSink {
  decisions: LogOptions["decisions"];
  readonly #sink: LineSink;
  readonly #clock: () => number;
  readonly #lines: DecisionLines;

  constructor(decisions: LogOptions["decisions"], lines: DecisionLines, sink: LineSink, clock: () => number) {
    this.decisions = decisions;
    this.#lines = lines;
    this.#sink = sink;
    this.#clock = clock;
  }

  decided(observation: Observation): void {
    if (this.decisions === "refused" && observation.decision.verdict === "allow") return;
    const replay = this.decisions === "replayable" ? replayField(observation) : "";
    this.#sink.add(`${this.#lines.line(observation, this.#clock())}${replay}}\n`);
  }
}

/**
 * Writes decisions as JSON lines, with the fields of records/decision.ts.
 *
 * By hand, because it is done for each request: 0.7 us a line against 3.2 us of pino's `info(object)`, measured in
 * one run on Node 26; with the write to a pipe 1.6 us of CPU against 7 to 11. What it costs is mostly the copying of
 * many small strings into one, so what repeats (the time; rule to revision) is kept in one piece.
 */
export class DecisionLines {
  #last: Observation | undefined;
  #line = "";
  #millisecond = Number.NaN;
  #head = "";
  readonly #tails = new Map<string, Map<Reason, Tail>>();

  /**
   * @param now milliseconds since the epoch
   * @returns one line, but for its closing brace and line feed. No token, cookie, key or query is in it. The log and the
   * audit log ask for the same one, which is made once.
   */
  line(observation: Observation, now: number): string {
    if (observation !== this.#last) {
      this.#last = observation;
      this.#line = this.#make(observation, now);
    }
    return this.#line;
  }

  #make(observation: Observation, now: number): string {
    const { decision, principal, claim, mcp, durationUs } = observation;
    const shadow = decision.shadow === undefined ? "" : shadowText(decision.shadow);
    const about = claim === undefined ? "" : `${BEFORE.claim}"${jsonText(claim, CLAIM)}"`;
    const duration = durationUs > 0 && durationUs < 1e12 ? Math.round(durationUs) : 0;
    return `${this.#headAt(now)}${jsonText(observation.requestId, ID)}${SRC_IS}${jsonText(observation.src, ADDRESS)}${METHOD_IS}${jsonText(observation.method, METHOD)}${HOST_IS}${jsonText(observation.host, HOST)}${PATH_IS}${jsonText(withoutQuery(observation.path), PATH)}"${principal === undefined ? "" : principalText(principal)}${this.#tailOf(observation)}${duration}${shadow}${about}${mcp === undefined ? "" : messageText(mcp)}`;
  }

  #headAt(now: number): string {
    if (now !== this.#millisecond) {
      this.#millisecond = now;
      const time = new Date(now).toISOString();
      const { level, time: at, msg, request_id } = BEFORE;
      this.#head = whole(`{${level.slice(1)}"info"${at}"${time}"${msg}"decision"${request_id}"`);
    }
    return this.#head;
  }

  #tailOf({ decision, status, revision }: Observation): string {
    let tails = this.#tails.get(decision.rule);
    if (tails === undefined) {
      if (this.#tails.size >= LARGEST_CACHE) this.#tails.clear();
      tails = new Map();
      this.#tails.set(decision.rule, tails);
    }
    const known = tails.get(decision.reason);
    if (known?.revision === revision && known.status === status && known.verdict === decision.verdict) {
      return known.text;
    }
    const { verdict, reason } = decision;
    const text = tailText(decision, status, revision);
    tails.set(reason, { verdict, status, revision, text });
    return text;
  }
}

function principalText({ issuer, subject, kind, client, actor }: Principal): string {
  const kindText = kind instanceof Unknown ? "unknown" : kind;
  const by = client === undefined ? "" : `${BEFORE.client}${partyText(client)}`;
  return `${BEFORE.issuer}"${jsonText(issuer, ISSUER)}"${BEFORE.subject}"${jsonText(subject, SUBJECT)}"${BEFORE.kind}"${kindText}"${by}${actorText(actor)}`;
}

/** A message without a method, such as a response, has an empty one: it was looked at. Arguments are never told. */
function messageText({ method = "", tool }: NonNullable<Observation["mcp"]>): string {
  const called = tool === undefined ? "" : `${BEFORE.mcp_tool}"${jsonText(tool, TOOL)}"`;
  return `${BEFORE.mcp_method}"${jsonText(method, TOOL)}"${called}`;
}

function actorText(actor: Principal["actor"]): string {
  if (actor instanceof Unknown) return `${BEFORE.actor}null`;
  const [acting] = actor;
  if (acting === undefined) return "";
  const chain = actor.map(({ subject, issuer }) => (issuer === undefined ? subject : `${issuer}/${subject}`));
  return `${BEFORE.actor}${partyText(acting.subject)}${BEFORE.actors}${actor.length}${BEFORE.act_chain}"${jsonText(chain.join(" <- "), CHAIN)}"`;
}

/** null for one that the token does not tell in a form that can be read: it is not nobody. */
function partyText(party: string | Unknown): string {
  return party instanceof Unknown ? "null" : `"${jsonText(party, PARTY)}"`;
}

function tailText({ rule, verdict, reason }: Decision, status: number, revision: string): string {
  const { rule: at, verdict: said, status: answered, reason: why, revision: by, duration_us: took } = BEFORE;
  return whole(
    `${at}"${jsonText(rule, RULE)}"${said}"${verdict}"${answered}${status}${why}"${reason}"${by}"${jsonText(revision, REVISION)}"${took}`,
  );
}

function shadowText({ verdict, reason }: NonNullable<Decision["shadow"]>): string {
  return `${BEFORE.shadow_verdict}"${verdict}"${BEFORE.shadow_reason}"${reason}"`;
}

/** HAProxy's `path` has no query. A HAProxy that was configured to send more must not bring one into the log. */
function withoutQuery(path: string): string {
  const end = path.search(/[?#]/);
  return end === -1 ? path : path.slice(0, end);
}

/** One flat string: V8 would keep the concatenation as a tree, and walk it again for each line. */
function whole(text: string): string {
  return Buffer.from(text).toString();
}
