import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parse } from "yaml";

export const REPOSITORY = resolve(import.meta.dirname, "..");
export const CONFIGURATION = "demo/countersign.yaml";

/** Where each part of the demo listens, all on 127.0.0.1. */
export interface Places {
  /** Port of HAProxy, for clients. */
  readonly haproxy: number;
  /** Another, with TLS. */
  readonly tls: number;
  /** Port of the agent for HAProxy. */
  readonly spop: number;
  /** Port of the agent's admin listener. */
  readonly admin: number;
  /** Port of the agent's pages. */
  readonly web: number;
  /** Port of the identity provider. */
  readonly provider: number;
  /** Port of the partner's. */
  readonly partner: number;
  /** Port of the proxy behind which a stand-in answers for AWS. */
  readonly sts: number;
  /** Port of the authorization server that people log in to. */
  readonly login: number;
  /** Port of the MCP server. */
  readonly notes: number;
  /** Ports of the other backends by their name. */
  readonly backends: Readonly<Record<string, number>>;
}

interface Configuration {
  readonly listen: { readonly spop: readonly string[]; readonly admin: string; readonly web: string };
  readonly issuers: {
    readonly idp: { readonly issuer: string };
    readonly partner: { readonly issuer: string };
    readonly login: { readonly issuer: string };
    readonly aws: { readonly proxy: string };
  };
  readonly haproxy: {
    readonly bind: readonly string[];
    readonly backends: Readonly<Record<string, readonly string[]>>;
  };
}

/** The ports of the demo's configuration; haproxy/haproxy.cfg has the same, as it is rendered from it. */
export function readPlaces(): Places {
  const text = readFileSync(resolve(REPOSITORY, CONFIGURATION), "utf8");
  const { listen, issuers, haproxy } = parse(text) as Configuration;
  const { notes, ...backends } = haproxy.backends;
  return {
    haproxy: portOf(haproxy.bind[0]),
    tls: portOf(haproxy.bind[1]),
    spop: portOf(listen.spop[0]),
    admin: portOf(listen.admin),
    web: portOf(listen.web),
    provider: portOf(issuers.idp.issuer),
    partner: portOf(issuers.partner.issuer),
    sts: portOf(issuers.aws.proxy),
    login: portOf(issuers.login.issuer),
    notes: portOf(notes?.[0]),
    backends: Object.fromEntries(Object.entries(backends).map(([name, servers]) => [name, portOf(servers[0])])),
  };
}

function portOf(address = ""): number {
  const port = Number(/:(\d+)(?: |$)/.exec(address)?.[1]);
  if (!(port > 0)) throw new Error(`${CONFIGURATION}: no port in "${address}"`);
  return port;
}
