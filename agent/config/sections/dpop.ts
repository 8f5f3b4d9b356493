import type { DpopConfig, IssuerConfig } from "../config.ts";
import type { Section } from "../section.ts";
import { readStore } from "./store.ts";

/** Characters. */
const SHORTEST_SECRET = 32;

/** Reads `dpop`: what proofs are held to, and where those that have come are remembered. */
export function readDpop(root: Section, workers: number, issuers: readonly IssuerConfig[]): DpopConfig {
  const dpop = root.section("dpop");
  const config = {
    algorithms: dpop.texts("algorithms"),
    maxAge: dpop.milliseconds("max_age"),
    clockTolerance: dpop.milliseconds("clock_tolerance"),
    nonces: dpop.flag("nonces"),
    secret: readSecret(dpop),
    ports: readPorts(dpop, root.section("haproxy").texts("bind")),
    remembered: dpop.number("remembered"),
    store: readStore(dpop),
  };
  const taken = issuers.some(
    ({ credentials, countsOnceFor }) => credentials.includes("dpop") || countsOnceFor !== undefined,
  );
  if (taken && workers > 1) checkShared(root, dpop, config);
  return config;
}

/** What each worker had of its own would be no memory and no nonce of the others. */
function checkShared(root: Section, dpop: Section, { store, nonces, secret }: DpopConfig): void {
  const found = "several workers, each of which remembers only the proofs that have come to itself";
  if (store === undefined) root.fault(["workers"], "one worker, or a `dpop.store` that they share", found);
  if (nonces && secret === undefined) {
    dpop.fault(["nonces"], "a `secret` beside it: with several workers, each would refuse the nonces of the others");
  }
}

/** A fault shows neither it nor a part of it. */
function readSecret(dpop: Section): string | undefined {
  const secret = dpop.optionalText("secret");
  if (secret !== undefined && secret.length < SHORTEST_SECRET) {
    const found = `a secret of ${secret.length} characters`;
    dpop.fault(["secret"], `at least ${SHORTEST_SECRET}, such as \`openssl rand -hex 32\` gives`, found);
  }
  return secret;
}

/** Those of `ports`, else of the lines that HAProxy listens by. */
function readPorts(dpop: Section, bind: readonly string[]): readonly number[] {
  const value = dpop.value("ports");
  if (Array.isArray(value)) return value.filter((port) => typeof port === "number");
  const addresses = bind.flatMap((line) => line.split(/\s/, 1).flatMap((word) => word.split(",")));
  return addresses.flatMap((address) => {
    const [, port] = /^[^/]*:(\d{1,5})$/.exec(address) ?? [];
    return port === undefined ? [] : [Number(port)];
  });
}
