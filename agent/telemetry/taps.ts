import type { DecisionLines } from "./decision-log.ts";
import type { DecisionSink, Observation } from "./events.ts";

/** Taps at a time. */
export const MOST_TAPS = 4;
/** Lines, and characters of them, that a tap gathers until it is read again; what comes on top is counted. */
const MOST_LINES = 100;
const MOST_TEXT = 128 * 1024;
/** Milliseconds after which a tap that nobody reads is taken away. */
const FORGOTTEN = 3_000;

/** What a decision can be chosen by. */
export const TAP_FIELDS = ["verdict", "reason", "rule", "subject", "host", "path"] as const;

/** Which decisions are wanted: of each field that is named, one of its values. A rule may be a service, a path a beginning. */
export type TapFilter = { readonly [Field in (typeof TAP_FIELDS)[number]]?: readonly string[] };

/** What was decided since a tap was read last, as plain data. */
export interface Tapped {
  /** Decision records, a JSON object each. */
  readonly lines: readonly string[];
  /** Decisions that were wanted as well, and were too many. */
  readonly leftOut: number;
  /** Whether it has begun just now: what was decided before is not in it. */
  readonly begun: boolean;
}

/**
 * Decisions for who looks on. There is no sink while nobody does, and none of a tap's is ever waited for: it gathers a
 * little, and what is more is counted.
 */
export class Taps implements DecisionSink {
  readonly #lines: DecisionLines;
  readonly #clock: () => number;
  readonly #inUse: (any: boolean) => void;
  readonly #taps = new Map<string, Tap>();
  #watch: NodeJS.Timeout | undefined;

  /** @param inUse told when the first one begins, and when the last has ended */
  constructor(lines: DecisionLines, clock: () => number, inUse: (any: boolean) => void) {
    this.#lines = lines;
    this.#clock = clock;
    this.#inUse = inUse;
  }

  decided(observation: Observation): void {
    for (const tap of this.#taps.values()) if (tap.wants(observation)) tap.add(this.#lines, observation, this.#clock());
  }

  /**
   * What a tap has gathered; it begins with the first time that it is read.
   *
   * @param name who reads it
   * @returns undefined where there are too many others
   */
  read(name: string, filter: TapFilter): Tapped | undefined {
    const tap = this.#taps.get(name);
    if (tap !== undefined) return tap.read(false);
    if (this.#taps.size >= MOST_TAPS) return undefined;
    const begun = new Tap(filter);
    this.#taps.set(name, begun);
    if (this.#watch === undefined) this.#begin();
    return begun.read(true);
  }

  /** Takes away those that nobody has read in the last turn. */
  #begin(): void {
    this.#inUse(true);
    this.#watch = setInterval(() => {
      for (const [name, tap] of this.#taps) if (!tap.wasRead()) this.#taps.delete(name);
      if (this.#taps.size === 0) this.close();
    }, FORGOTTEN).unref();
  }

  close(): void {
    clearInterval(this.#watch);
    this.#watch = undefined;
    this.#taps.clear();
    this.#inUse(false);
  }
}

class Tap {
  readonly #filter: TapFilter;
  #lines: string[] = [];
  #size = 0;
  #leftOut = 0;
  #read = true;

  constructor(filter: TapFilter) {
    this.#filter = filter;
  }

  wants({ decision, principal, host, path }: Observation): boolean {
    const filter = this.#filter;
    return (
      isOneOf(filter.verdict, decision.verdict) &&
      isOneOf(filter.reason, decision.reason) &&
      (filter.rule === undefined || filter.rule.some((rule) => isOf(rule, decision.rule))) &&
      (filter.subject === undefined || (principal !== undefined && filter.subject.includes(principal.subject))) &&
      (filter.host === undefined || filter.host.includes(hostName(host))) &&
      (filter.path === undefined || filter.path.some((start) => path.startsWith(start)))
    );
  }

  add(lines: DecisionLines, observation: Observation, now: number): void {
    if (this.#lines.length >= MOST_LINES || this.#size >= MOST_TEXT) {
      this.#leftOut++;
      return;
    }
    const line = `${lines.line(observation, now)}}`;
    this.#size += line.length;
    this.#lines.push(line);
  }

  read(begun: boolean): Tapped {
    const tapped = { lines: this.#lines, leftOut: this.#leftOut, begun };
    this.#lines = [];
    this.#size = 0;
    this.#leftOut = 0;
    this.#read = true;
    return tapped;
  }

  /** Whether somebody has read it since this was asked. */
  wasRead(): boolean {
    const read = this.#read;
    this.#read = false;
    return read;
  }
}

function isOneOf(wanted: readonly string[] | undefined, found: string): boolean {
  return wanted === undefined || wanted.includes(found);
}

/** A rule itself, or one of a service's. */
function isOf(wanted: string, rule: string): boolean {
  return rule === wanted || rule.startsWith(`${wanted}/`);
}

/** As it is asked for: without port, in small letters. */
function hostName(host: string): string {
  return host.replace(/:\d*$/, "").toLowerCase();
}

/** Tells what several processes have for one tap, in the order of their times. */
export function mergedTaps(all: readonly Tapped[]): Tapped {
  const time = (line: string) => /"time":"([^"]*)"/.exec(line)?.[1] ?? "";
  return {
    lines: all.flatMap(({ lines }) => lines).sort((a, b) => (time(a) < time(b) ? -1 : time(a) > time(b) ? 1 : 0)),
    leftOut: all.reduce((sum, { leftOut }) => sum + leftOut, 0),
    begun: all.some(({ begun }) => begun),
  };
}
