import { type Contract, contractText } from "../../haproxy/contract.ts";
import { isPrincipalVariable, type VariableName } from "../../haproxy/variables.ts";
import type { Route } from "../../policies/policies.ts";
import { type Form, formsOf, proofForms } from "./credentials.ts";
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
  /** How each proof is read that is sent, by its name. */
  readonly proofs: ReadonlyMap<string, Form>;
  /** By name, where each stands in a message. */
  readonly #arguments: ReadonlyMap<string, number>;
  readonly #taken = new WeakMap<Route, readonly Form[] | "outdated">();

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
  constructor(contract: Contract, names: readonly string[]) {
    this.contract = contract;
    this.principalVariables = contract.variables.filter(isPrincipalVariable);
    this.#arguments = new Map(names.map((name, index) => [name, index]));
    this.proofs = proofForms(this.#arguments);
    this.headerNumbers = new Map(contract.headers.map((name, index) => [name, index + 1]));
  }

  /**
   * How the credentials that a route takes are read here; `outdated` where HAProxy does not send all that the route
   * reads, or set all the headers that it promises its backend. A credential that is not sent would look like none.
   *
   * @param snapshot the one that the route is of
   */
  taken(
    route: Route,
    { meshIdentities, assertions }: Pick<Snapshot, "meshIdentities" | "assertions">,
  ): readonly Form[] | "outdated" {
    const known = this.#taken.get(route);
    if (known !== undefined) return known;
    const { needs } = route;
    const forms = formsOf(needs.credentials, this.#arguments);
    const serves =
      (!needs.query || this.#arguments.has("query")) &&
      needs.proofs.every((name) => this.proofs.has(name)) &&
      needs.requestHeaders.every((name) => this.#arguments.has(`h_${name}`)) &&
      (needs.bodies === undefined || this.#arguments.has("body")) &&
      needs.identityHeaders.every(({ name }) => this.headerNumbers.has(name)) &&
      (route.upstreamToken === undefined || this.contract.variables.includes("upstream_token")) &&
      (!meshIdentities.has(route.backend) || this.contract.variables.includes("mesh_identity")) &&
      (assertions === undefined || route.access === "anyone" || this.contract.variables.includes("assertion"));
    const taken = serves && forms !== undefined ? forms : "outdated";
    this.#taken.set(route, taken);
    return taken;
  }
}
