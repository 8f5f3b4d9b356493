import { TooLarge } from "./bdd.ts";
import type { Surroundings } from "./tokenizer.ts";
import { unknownValue } from "./where.ts";

/** The HAProxys that are known; a configuration may be read by each of them where nobody says which. */
export const VERSIONS = ["2.6", "2.7", "2.8", "2.9", "3.0", "3.1", "3.2", "3.3", "3.4", "3.5"] as const;
/** The version before each. */
const OLDER_THAN = new Map<string, string>(
  VERSIONS.slice(1).map((version, index) => [version, VERSIONS[index] ?? version]),
);
/** Most worlds that are looked at. */
const MOST_WORLDS = 128;
/** First words of lines in which a variable can only be an address, a name or a number. */
const PLAIN_LINES: ReadonlySet<string> = new Set(
  [
    "bind server server-template default-server log log-format log-format-sd error-log-format stats timeout maxconn",
    "nbthread user group chroot pidfile ca-base crt-base description log-tag errorfile peer table nameserver node",
    "source email-alert mailer http-check tcp-check localpeer lua-load option cookie balance hostname load",
  ].flatMap((line) => line.split(" ")),
);
/** Variables that HAProxy sets itself, to what only it knows. */
const OF_HAPROXY = /^HAPROXY_(?!BRANCH$|MWORKER$)/;

/** What is known of the deployment. */
export interface Deployment {
  /** `3.2` or `3.2.26`; any of 2.6 to 3.5 where undefined. */
  readonly version: string | undefined;
  /** Environment variables by name. */
  readonly defines: ReadonlyMap<string, string>;
}

/**
 * One way in which the files could be read: a version, an environment, and an outcome for every `.if` that only the
 * deployment decides. Questions are answered by a script, and those beyond it with yes.
 */
export class World implements Surroundings {
  readonly #script: readonly boolean[];
  readonly #decisions: { readonly key: string; readonly answer: boolean; readonly text: string }[] = [];
  readonly #environment: Map<string, string | undefined>;
  #versions: readonly (readonly number[])[];
  readonly #exact: boolean;
  /** Answers to `"${.LINE}"` and its kin. */
  pseudo: Readonly<Record<string, string>> = {};
  /** While lines are dropped: nothing is decided for them. */
  idle = false;

  constructor({ version, defines }: Deployment, script: readonly boolean[]) {
    this.#script = script;
    this.#environment = new Map(defines);
    this.#versions = (version === undefined ? VERSIONS : [version]).map((text) => text.split(".").map(Number));
    this.#exact = version?.split(".").length === 3;
  }

  /** What was answered, in order. */
  get answers(): readonly boolean[] {
    return this.#decisions.map(({ answer }) => answer);
  }

  /** What makes this world another one than the others, for a reader. */
  get described(): readonly string[] {
    return this.#decisions.map(({ text }) => text);
  }

  /** The answer to a question that the files do not answer; the same each time. */
  decide(key: string, yes: string, no: string): boolean {
    const known = this.#decisions.find((decision) => decision.key === key);
    if (known !== undefined) return known.answer;
    const answer = this.#script[this.#decisions.length] ?? true;
    this.#decisions.push({ key, answer, text: answer ? yes : no });
    return answer;
  }

  /** Whether HAProxy is at least this version; `3.1-dev8` is before `3.1`. */
  atLeast(text: string): boolean {
    const [release = "", development] = text.split("-dev");
    const asked = release.split(".").map(Number);
    const surely = this.#versions.filter((version) => this.#compare(version, asked, development !== undefined) >= 0);
    const perhaps = this.#versions.filter(
      (version) => surely.includes(version) || (!this.#exact && sameMinor(version, asked)),
    );
    if (surely.length === this.#versions.length) return true;
    if (perhaps.length === 0) return false;
    const answer = this.decide(`version ${text}`, `HAProxy ${text} or later`, `HAProxy before ${text}`);
    this.#versions = answer ? perhaps : this.#versions.filter((version) => !surely.includes(version));
    return answer;
  }

  variable(name: string, first: string | undefined, fallback: string | undefined): string | undefined {
    if (name.startsWith(".")) return this.pseudo[name] ?? "";
    if (this.#environment.has(name)) return this.#environment.get(name);
    if (name === "HAPROXY_BRANCH") return this.idle ? "" : this.#branch();
    if (this.idle || OF_HAPROXY.test(name)) return unknownValue(name);
    // Where it is set nobody knows the address, so the one that the file has says more. Nothing at all says less.
    if (this.guesses(name, first)) return fallback || unknownValue(name);
    return this.isSet(name) ? unknownValue(name) : undefined;
  }

  guesses(name: string, first: string | undefined): boolean {
    if (this.idle || first === undefined || !PLAIN_LINES.has(first) || this.#environment.has(name)) return false;
    return !name.startsWith(".") && !name.startsWith("HAPROXY_");
  }

  /** Whether the variable is set in HAProxy's environment. */
  isSet(name: string): boolean {
    if (this.#environment.has(name)) return this.#environment.get(name) !== undefined;
    if (name === "HAPROXY_BRANCH") return this.#branch() !== undefined;
    if (OF_HAPROXY.test(name)) return true;
    return this.decide(`set ${name}`, `${name} is set`, `${name} is not set`);
  }

  /** `setenv`; undefined unsets it. */
  set(name: string, value: string | undefined): void {
    this.#environment.set(name, value);
  }

  /** `resetenv` without names: only what the deployment sets is left, which nobody knows. */
  reset(keep: ReadonlySet<string>): void {
    for (const name of this.#environment.keys()) if (!keep.has(name)) this.#environment.set(name, undefined);
  }

  /** A copy of what `setenv` and its kin have made of the environment. */
  get environment(): ReadonlyMap<string, string | undefined> {
    return new Map(this.#environment);
  }

  emptyEnds(): boolean {
    return this.idle || !this.atLeast("3.3");
  }

  /** Of one minor version some releases do and some do not. */
  unsetSwallows(): boolean {
    if (this.idle || this.atLeast("3.3")) return false;
    return this.decide("unset", "an unset variable joins two words", "an unset variable ends the line");
  }

  quotesMakeWords(): boolean {
    return this.idle || !this.atLeast("3.3");
  }

  #branch(): string | undefined {
    if (!this.atLeast("3.0")) return undefined;
    for (const version of VERSIONS.slice(5)) if (!this.atLeast(version)) return previous(version);
    return VERSIONS.at(-1);
  }

  #compare(
    [major = 0, minor = 0, patch = 0]: readonly number[],
    asked: readonly number[],
    development: boolean,
  ): number {
    const [askedMajor = 0, askedMinor = 0, askedPatch = 0] = asked;
    if (major !== askedMajor) return major - askedMajor;
    if (minor !== askedMinor) return minor - askedMinor;
    if (development) return 0;
    return this.#exact || askedPatch === 0 ? patch - askedPatch : -1;
  }
}

function sameMinor([major, minor]: readonly number[], [askedMajor, askedMinor]: readonly number[]): boolean {
  return major === askedMajor && minor === askedMinor;
}

function previous(version: string): string {
  return OLDER_THAN.get(version) ?? version;
}

/** Calls `look` once for each world that the files can be read in. @throws TooLarge past a bound */
export function everyWorld(deployment: Deployment, look: (world: World) => void): void {
  let script: readonly boolean[] | undefined = [];
  for (let count = 0; script !== undefined; count++) {
    if (count === MOST_WORLDS) throw new TooLarge(`more than ${MOST_WORLDS} ways to read the files`);
    const world = new World(deployment, script);
    look(world);
    script = after(world.answers);
  }
}

/** The next script: the last yes becomes a no, and what was asked after it is asked again. */
function after(answers: readonly boolean[]): readonly boolean[] | undefined {
  const last = answers.lastIndexOf(true);
  return last < 0 ? undefined : [...answers.slice(0, last), false];
}
