import type { Address } from "./address.ts";

/**
 * Where one of the workers listens: the first at the addresses of the configuration, the others at the ports after
 * them, or beside their files.
 *
 * Each has addresses of its own, and HAProxy a server line for each. Measured with 64 busy connections of clients, two
 * workers, HAProxy 2.6 and 3.2 with one and two threads, for 2 or 3 s at a time, the share of the one that did less:
 *
 * | listeners                         | HAProxy 3.2    | HAProxy 2.6    |
 * |-----------------------------------|----------------|----------------|
 * | one, node:cluster's round robin   | 19 % to 49 %   | 12 % to 46 %   |
 * | one, SO_REUSEPORT                 | 37 % to 42 %   | 0 % to 43 %    |
 * | one a worker, a server line each  | 50 %           | 18 % to 47 %   |
 *
 * HAProxy sends many requests through a connection that it has once opened, so sharing out connections shares out
 * nothing; from 3.1 on it chooses a server for each request. Up to 3.0 it chooses one for each connection, all equally
 * often, and uses whichever is free: there, too, workers that were short of CPU had 45 % to 55 % each. And with a line
 * of its own each worker is checked by itself, so that one that stands still is passed over.
 *
 * @param worker from 1
 */
export function addressesOf(addresses: readonly Address[], worker: number): readonly Address[] {
  return addresses.map((address) => addressOf(address, worker));
}

export function addressOf(address: Address, worker: number): Address {
  if (worker === 1) return address;
  if ("path" in address) {
    const { path, haproxyPath } = address;
    const seen = haproxyPath === undefined ? {} : { haproxyPath: `${haproxyPath}.${worker}` };
    return { ...address, path: `${path}.${worker}`, ...seen };
  }
  return { ...address, port: address.port + worker - 1 };
}

/** What a configuration says of where the agent listens. */
interface Listeners {
  readonly listen: { readonly spop: readonly Address[] };
  readonly workers: number;
}

/** The same of another agent's, whose first address HAProxy's configuration writes so. */
export function serversOf(first: string, workers: number): readonly string[] {
  const [, host = "", port] = /^(.*:)(\d+)$/.exec(first) ?? [];
  return Array.from({ length: workers }, (_, n) => {
    if (n === 0) return first;
    return port === undefined ? `${first}.${n + 1}` : `${host}${Number(port) + n}`;
  });
}

/** Where HAProxy finds the agent: all addresses of all workers. */
export function allAddresses({ listen, workers }: Listeners): readonly Address[] {
  return Array.from({ length: workers }, (_, index) => addressesOf(listen.spop, index + 1)).flat();
}
