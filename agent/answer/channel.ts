import { type Contract, contractText } from "../../haproxy/contract.ts";
import { credentialKind } from "../../haproxy/credentials.ts";
import { isPrincipalVariable, type VariableName } from "../../haproxy/variables.ts";
import type { Route } from "../../policies/policies.ts";
import type { Snapshot } from "./snapshot.ts";

/** Channels that are kept for all connections: a running HAProxy has one, and during its reload there are two. */
const MOST_CHANNELS = 64;

/**
 * What one running HAProxy was configured to send and to set. It is learned from the NOTIFYs of a connection, so a
 * policy reload can never open a hole that only a reload of HAProxy would close: a route that needs more than this
 * is refused.
 */
export class Channel {
  readonly contract: Contract;
  /** Number of each identity header in the contract, counted from 1: its value travels in `header_<n>`. */
  readonly headerNumbers: ReadonlyMap<string, number>;
  /** Of the contract's variables those that tell of the principal. */
  readonly principalVariables: readonly VariableName[];
  readonly #arguments: ReadonlySet<string>;
  readonly #served = new WeakMap<Route, boolean>();

  static readonly #known = new Map<string, Channel>();

  /** The one channel of this contract and these arguments: what was made for it serves all its connections. */
  static of(contract: Contract, names: readonly string[]): Channel {
    const text = [contractText(contract), ...names].join("\n");
    const known = Channel.#known.get(text);
    if (known !== undefined) return known;
    if (Channel.#known.size >= MOST_CHANNELS) Channel.#known.clear();
    const channel = new Channel(contract, names);
    Channel.#known.set(text, channel);
    return channel;
  }

  /** @param names the names of all arguments in the NOTIFY; NULL ones are configured too, and count */
  constructor(contract: Contract, names: Iterable<string>) {
    this.contract = contract;
    this.principalVariables = contract.variables.filter(isPrincipalVariable);
    this.#arguments = new Set(names);
    this.headerNumbers = new Map(contract.headers.map((name, index) => [name, index + 1]));
  }

  /**
   * Whether HAProxy sends all that the route reads and sets all the headers that it promises its backend.
   *
   * @param snapshot the one that the route is of
   */
  serves(route: Route, { meshIdentities }: Pick<Snapshot, "meshIdentities">): boolean {
    const known = this.#served.get(route);
    if (known !== undefined) return known;
    const { needs } = route;
    const serves =
      (!needs.query || this.#arguments.has("query")) &&
      needs.credentials.every((name) => this.#carries(name)) &&
      needs.requestHeaders.every((name) => this.#arguments.has(`h_${name}`)) &&
      needs.identityHeaders.every(({ name }) => this.headerNumbers.has(name)) &&
      (!meshIdentities.has(route.backend) || this.contract.variables.includes("mesh_identity"));
    this.#served.set(route, serves);
    return serves;
  }

  /** Whether a credential of this kind would be seen: one that is not sent looks like none. */
  #carries(name: string): boolean {
    const kind = credentialKind(name);
    return kind !== undefined && this.#arguments.has(kind.argument);
  }
}
