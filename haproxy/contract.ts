import { isContractVariable, VARIABLES, type VariableName } from "./variables.ts";

/**
 * What one HAProxy was rendered to use of an answer. It travels with every request, so the agent knows what the
 * running HAProxy will do with its answer, whatever the policies have become since that HAProxy was configured.
 */
export interface Contract {
  readonly version: 1;
  /** The variables that HAProxy reads only where it was rendered to, such as `subject`. */
  readonly variables: readonly VariableName[];
  /** The identity headers that HAProxy sets, in lower case: the first one from `header_1`, and so on. */
  readonly headers: readonly string[];
}

/** Most headers: their variables are named by number, and an ACK has to hold them all. */
export const MOST_HEADERS = 64;
const LONGEST_HEADER = 64;
const ALL_VARIABLES = Object.keys(VARIABLES).join(":").length;
/** Longest contract in characters, all headers at their longest. An honest one has a few hundred; HAProxy takes 8000. */
const LARGEST_CONTRACT = "1:".length + ALL_VARIABLES + MOST_HEADERS * (":h_".length + LONGEST_HEADER);

const HEADER_NAME = new RegExp(`^[a-z0-9-]{1,${LONGEST_HEADER}}$`);

/** Whether a request header can be named in the contract and in the generated rules: HAProxy deletes all others. */
export function isHeaderName(name: string): boolean {
  return HEADER_NAME.test(name);
}

/**
 * The contract as HAProxy sends it, for example `1:subject:h_x-auth-subject:h_x-auth-roles`.
 * The separator is a colon because a comma is an error inside HAProxy's `str()`.
 */
export function contractText(contract: Contract): string {
  return [contract.version, ...contract.variables, ...contract.headers.map((name) => `h_${name}`)].join(":");
}

/**
 * Reads a contract; `undefined` for everything that `contractText` would not write: another version, an unknown or
 * repeated name, a variable after a header, too many or too long.
 */
export function parseContract(text: string): Contract | undefined {
  if (text.length > LARGEST_CONTRACT) return undefined;
  const [version, ...names] = text.split(":");
  if (version !== "1" || new Set(names).size !== names.length) return undefined;
  const first = names.findIndex((name) => name.startsWith("h_"));
  const variables = first < 0 ? names : names.slice(0, first);
  const entries = first < 0 ? [] : names.slice(first);
  if (entries.length > MOST_HEADERS) return undefined;
  if (!variables.every(isContractVariable)) return undefined;
  if (!entries.every((entry) => entry.startsWith("h_") && isHeaderName(entry.slice(2)))) return undefined;
  return { version: 1, variables, headers: entries.map((entry) => entry.slice(2)) };
}
