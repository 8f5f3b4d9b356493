import type { Statement } from "./where.ts";
import { texts } from "./where.ts";

/** What an action of `http-request` or `tcp-request content` does to the question whether a request is forwarded. */
export type Effect =
  /** It ends here, answered by HAProxy. */
  | "ends"
  /** This list of rules ends, and the request goes on. */
  | "stops"
  /** The agent is asked. */
  | "asks"
  | "writes"
  /** A variable is written with an address that a name server gives. */
  | "looks-up"
  /** What is forwarded is not what came. */
  | "rewrites"
  | "header"
  | "source"
  | "destination"
  | "caches"
  | "service"
  | "switches"
  | "neutral";

interface Action {
  readonly effect: Effect;
  /** Words of its own before an `if` can come. */
  readonly words: number;
}

const TABLE: Readonly<Record<string, readonly [effect: Effect, words: number]>> = {
  allow: ["stops", 0],
  accept: ["stops", 0],
  deny: ["ends", 0],
  tarpit: ["ends", 0],
  reject: ["ends", 0],
  "silent-drop": ["ends", 0],
  return: ["ends", 0],
  redirect: ["ends", 2],
  auth: ["ends", 0],
  "use-service": ["service", 1],
  "cache-use": ["caches", 1],
  "send-spoe-group": ["asks", 2],
  "set-path": ["rewrites", 1],
  "set-pathq": ["rewrites", 1],
  "set-uri": ["rewrites", 1],
  "set-query": ["rewrites", 1],
  "set-method": ["rewrites", 1],
  "replace-path": ["rewrites", 2],
  "replace-pathq": ["rewrites", 2],
  "replace-uri": ["rewrites", 2],
  "normalize-uri": ["rewrites", 1],
  "set-header": ["header", 2],
  "add-header": ["header", 2],
  "replace-header": ["header", 3],
  "replace-value": ["header", 3],
  "del-header": ["header", 1],
  "set-headers-bin": ["header", 1],
  "add-headers-bin": ["header", 1],
  "del-headers-bin": ["header", 1],
  "set-src": ["source", 1],
  "set-src-port": ["neutral", 1],
  "set-dst": ["destination", 1],
  "set-dst-port": ["destination", 1],
  "switch-mode": ["switches", 1],
  "set-priority-class": ["neutral", 1],
  "set-priority-offset": ["neutral", 1],
  "set-nice": ["neutral", 1],
  "set-tos": ["neutral", 1],
  "set-mark": ["neutral", 1],
  "set-fc-tos": ["neutral", 1],
  "set-fc-mark": ["neutral", 1],
  "set-bc-tos": ["neutral", 1],
  "set-bc-mark": ["neutral", 1],
  "set-log-level": ["neutral", 1],
  "set-timeout": ["neutral", 2],
  "set-bandwidth-limit": ["neutral", 1],
  "set-retries": ["neutral", 1],
  "disable-l7-retry": ["neutral", 0],
  "early-hint": ["neutral", 2],
  capture: ["neutral", 1],
  "strict-mode": ["neutral", 1],
  "wait-for-body": ["neutral", 0],
  "wait-for-handshake": ["neutral", 0],
  "do-log": ["neutral", 0],
  pause: ["neutral", 1],
};
/** Actions whose name is followed at once by their argument. */
const BY_PREFIX: readonly (readonly [prefix: string, effect: Effect, words: number])[] = [
  ["set-var-fmt", "writes", 1],
  ["set-var", "writes", 1],
  ["unset-var", "writes", 0],
  ["set-map", "neutral", 2],
  ["del-map", "neutral", 1],
  ["add-acl", "neutral", 1],
  ["del-acl", "neutral", 1],
  ["track-sc", "neutral", 1],
  ["sc-inc-gpc", "neutral", 0],
  ["sc-set-gpt", "neutral", 1],
  ["sc-add-gpc", "neutral", 1],
  ["do-resolve", "looks-up", 1],
];
/** Options of an answer that have a value, which may be the word `if`. */
const VALUES: Readonly<Record<string, number>> = {
  hdr: 2,
  deny_status: 1,
  status: 1,
  "content-type": 1,
  errorfile: 1,
  errorfiles: 1,
  file: 1,
  "lf-file": 1,
  string: 1,
  "lf-string": 1,
  "rst-ttl": 1,
  "set-cookie": 1,
  "clear-cookie": 1,
  table: 1,
  profile: 1,
  realm: 1,
};

/** What the action does; undefined for one that is not known. */
export function actionOf(name: string): Action | undefined {
  const row = Object.hasOwn(TABLE, name)
    ? TABLE[name]
    : BY_PREFIX.find(([prefix]) => name.startsWith(prefix))?.slice(1);
  const [effect, words] = (row ?? []) as [Effect?, number?];
  return effect === undefined || words === undefined ? undefined : { effect, words };
}

/**
 * Index of the rule's `if` or `unless`; its length where it has none.
 *
 * @param from the first word after the action
 * @param words the action's own words, which are never that
 */
export function conditionAt(statement: Statement, from: number, words: number): number {
  const all = texts(statement);
  let index = from + words;
  for (; index < all.length; index++) {
    const word = all[index] ?? "";
    if (word === "if" || word === "unless") return index;
    if (Object.hasOwn(VALUES, word)) index += VALUES[word] ?? 0;
  }
  return all.length;
}
