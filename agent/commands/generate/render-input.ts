import type { RenderInput } from "../../../haproxy/input.ts";
import { contractOf } from "../../../haproxy/render.ts";
import type { VariableName } from "../../../haproxy/variables.ts";
import type { Policies } from "../../../policies/policies.ts";
import { meshIdentities } from "../../answer/mesh-identities.ts";
import type { Config } from "../../config/config.ts";
import { isMeshIssuer } from "../../identity/mesh/section.ts";
import { haproxyAddress } from "../../net/address.ts";
import { allAddresses, serversOf } from "../../net/addresses.ts";
import { largestAck } from "../../server/pipelining.ts";
import { metadataOf } from "./metadata.ts";
import { pageRules } from "./page-rules.ts";

/** What HAProxy's files are rendered from. */
export function renderInputOf(config: Config, policies: Policies): RenderInput {
  const { version, identityPrefix, bind, client, scheme, accessLog: logged, backends, agents } = config.haproxy;
  const backendVariables = backendVariablesOf(config, policies);
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
    spopAddresses:
      agents.servers?.flatMap((first) => serversOf(first, config.workers)) ?? allAddresses(config).map(haproxyAddress),
    agentTls: agents.tls,
    webAddress: config.listen.web && haproxyAddress(config.listen.web),
    deadline: config.deadline,
    backends: [...names]
      .sort()
      .map((name) => ({ servers: [], ...(Object.hasOwn(backends, name) ? backends[name] : {}), name })),
    uses: { ...policies.uses, trace: config.traces !== undefined },
    cors: pageRules(policies),
    largestBody: config.haproxy.largestBody,
    hops: Object.assign({}, ...config.issuers.map(({ hops }) => hops)),
    mesh: meshBindOf(config, policies),
    logged,
    backendVariables,
    metadata: metadataOf(config, policies),
    largestAck: largestAck(policies, contractOf({ uses: policies.uses, logged, backendVariables })),
  };
}

/** Where meshed clients come in, if any policy takes them. */
function meshBindOf({ issuers }: Config, { uses }: Policies): RenderInput["mesh"] {
  const issuer = uses.credentials.includes("mesh") ? issuers.find(isMeshIssuer) : undefined;
  return issuer === undefined ? undefined : { address: issuer.bind };
}

/** What HAProxy tells backends of an answer, whatever headers policies name. */
function backendVariablesOf(config: Config, { services }: Policies): readonly VariableName[] {
  const needed = {
    mesh_identity: meshIdentities(config, services).size > 0,
    assertion: config.assertion !== undefined,
    upstream_token: services.some(({ routes }) => routes.some(({ upstreamToken }) => upstreamToken !== undefined)),
  };
  return (["mesh_identity", "assertion", "upstream_token"] as const).filter((name) => needed[name]);
}
