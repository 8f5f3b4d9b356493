import type { RenderInput } from "../../haproxy/input.ts";
import { contractOf } from "../../haproxy/render.ts";
import type { Policies } from "../../policies/policies.ts";
import type { Config } from "../config/config.ts";
import { haproxyAddress } from "../net/address.ts";
import { allAddresses } from "../net/addresses.ts";
import { largestAck } from "../server/pipelining.ts";

/** What HAProxy's files are rendered from. */
export function renderInputOf(config: Config, policies: Policies): RenderInput {
  const { version, identityPrefix, bind, client, scheme, accessLog: logged, backends } = config.haproxy;
  const names = new Set([
    ...Object.keys(backends),
    ...policies.services.flatMap(({ routes }) => routes.map(({ backend }) => backend)),
  ]);
  return {
    version,
    identityPrefix,
    bind,
    scheme,
    client,
    spopAddresses: allAddresses(config).map(haproxyAddress),
    deadline: config.deadline,
    backends: [...names]
      .sort()
      .map((name) => ({ servers: [], ...(Object.hasOwn(backends, name) ? backends[name] : {}), name })),
    uses: policies.uses,
    logged,
    largestAck: largestAck(policies, contractOf({ uses: policies.uses, logged })),
  };
}
