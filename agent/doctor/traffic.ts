import type { Service } from "../../policies/policies.ts";
import { meshIdentities } from "../answer/mesh-identities.ts";
import { isMeshIssuer } from "../identity/mesh/section.ts";
import type { Sample, Samples } from "./exposition.ts";
import type { Finding } from "./finding.ts";
import { opaqueFindings } from "./meshed.ts";
import type { Sources } from "./sources.ts";

/** Seconds before the end of a proxy's certificate by which it should have a new one: of 24 h it renews at 70 %. */
const OVERDUE = 2 * 3_600;

/** What the Linkerd proxy beside HAProxy counts: its certificate, and whether what it sends is mTLS to whom it should be. */
export function trafficFindings({ proxy, config, services, now }: Sources): readonly Finding[] {
  if (proxy === undefined) return [];
  const { url: at, content: samples } = proxy;
  const identities = meshIdentities(config, services);
  return [
    ...certificate(at, samples, now / 1000),
    ...services.flatMap(({ mesh }) => (mesh === undefined ? [] : plaintext(at, samples, mesh))),
    ...refused(at, samples),
    ...config.issuers.filter(isMeshIssuer).flatMap((issuer) => opaqueFindings(at, samples, issuer)),
    ...strangers(at, samples, services, identities),
  ];
}

function certificate(at: string, samples: Samples, now: number): readonly Finding[] {
  const found: Finding[] = [];
  const causes = "when it ends, every new connection in the mesh is 502, and /ready goes on saying 200";
  for (const { value } of named(samples, "control_identity_cert_expiration_timestamp_seconds")) {
    if (value <= now)
      found.push({
        at,
        found: "the proxy's certificate has expired",
        causes,
        remedy: "see its log, and linkerd-identity",
      });
    else if (value - now < OVERDUE) {
      found.push({
        at,
        found: `the proxy's certificate ends in ${Math.floor((value - now) / 60)} minutes`,
        causes,
        remedy: "see why it is not renewed",
      });
    }
  }
  const errors = named(samples, "control_identity_cert_refreshes_total").filter(
    ({ labels, value }) => labels.result === "error" && value > 0,
  );
  if (errors.length > 0)
    found.push({ at, found: "the proxy could not renew its certificate", causes, remedy: "linkerd-identity's log" });
  return found;
}

function plaintext(
  at: string,
  samples: Samples,
  { service, namespace }: NonNullable<Service["mesh"]>,
): readonly Finding[] {
  const plain = outbound(samples).filter(
    (sample) => leadsTo(sample, service, namespace) && sample.labels.tls !== "true",
  );
  if (plain.length === 0) return [];
  const reason = plain[0]?.labels.no_tls_reason ?? "unknown";
  return [
    {
      at,
      found: `requests to ${service}.${namespace} without mTLS (${reason})`,
      causes: "identity headers travel in plain text, to whoever is at the address",
      remedy:
        "mesh the pods (`linkerd.io/inject: enabled`), and have HAProxy say whom it must find: `mesh` in the configuration",
    },
  ];
}

function refused(at: string, samples: Samples): readonly Finding[] {
  const count = named(samples, "outbound_http_errors_total").filter(
    ({ labels, value }) => labels.error === "identity required" && value > 0,
  );
  if (count.length === 0) return [];
  return [
    {
      at,
      found: "the proxy has refused requests because somebody else, or nobody of the mesh, was at the address",
      causes: "502 for these requests",
      remedy: "compare `mesh.identity` of the policies with the pods' service account",
    },
  ];
}

/** Whom mTLS was spoken with that no policy expects. */
function strangers(
  at: string,
  samples: Samples,
  services: readonly Service[],
  identities: ReadonlyMap<string, string>,
): readonly Finding[] {
  return services.flatMap(({ mesh }) => {
    const expected = mesh && identities.get(mesh.backend);
    if (mesh === undefined || expected === undefined) return [];
    const others = outbound(samples).filter(
      (sample) =>
        leadsTo(sample, mesh.service, mesh.namespace) &&
        sample.labels.tls === "true" &&
        sample.labels.server_id !== expected,
    );
    if (others.length === 0) return [];
    const found = `${mesh.service}.${mesh.namespace} is ${others[0]?.labels.server_id}, and the policies say ${expected}`;
    return [
      {
        at,
        found,
        causes: "502, once HAProxy says whom it must find",
        remedy: "correct `mesh.identity`, or the pods' service account",
      },
    ];
  });
}

function named(samples: Samples, name: string): Samples {
  return samples.filter((sample) => sample.name === name);
}

function outbound(samples: Samples): Samples {
  return named(samples, "request_total").filter(({ labels, value }) => labels.direction === "outbound" && value > 0);
}

function leadsTo({ labels }: Sample, service: string, namespace: string): boolean {
  if (labels.dst_service !== undefined) return labels.dst_service === service && labels.dst_namespace === namespace;
  return (labels.authority ?? "").startsWith(`${service}.${namespace}.`);
}
