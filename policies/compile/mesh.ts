import { readNetwork } from "../ip-address.ts";
import type { Mesh, Route } from "../policies.ts";
import type { Findings, Place } from "./findings.ts";
import type { MeshEntry, ServiceEntry } from "./policy-file.ts";
import type { CompiledService, ServiceContext } from "./service.ts";

/** RFC 1035, section 2.3.4, as a text. */
const LONGEST_IDENTITY = 253;

/** The meshed Service behind a service's own backend; undefined where there is none. */
export function compileMesh(
  { mesh, backend }: ServiceEntry,
  service: Place,
  { identitySuffix, findings }: Pick<ServiceContext, "identitySuffix" | "findings">,
): Mesh | undefined {
  if (mesh === undefined) return undefined;
  const place = service.at("mesh");
  if (backend === undefined) {
    const right = "add `backend: NAME` to the service: `mesh` says what stands behind it";
    findings.key(place, "a `mesh` of a service without a backend of its own", right);
  }
  const { routes = true, protocol = "HTTP/1", probes = [], also = [] } = mesh;
  checkProtocol({ ...mesh, protocol, routes }, place, findings);
  for (const [index, network] of probes.entries()) checkNetwork(network, place.at("probes", index), findings);
  checkIdentity(mesh.identity, identitySuffix, place.at("identity"), findings);
  for (const [index, name] of also.entries()) checkIdentity(name, identitySuffix, place.at("also", index), findings);
  return { ...mesh, backend: backend ?? "", protocol, routes, probes, also };
}

function checkProtocol({ protocol, routes, probes }: MeshEntry, place: Place, findings: Findings): void {
  if (protocol === "opaque" && routes === true) {
    findings.fault(
      place.at("protocol"),
      "`opaque` with routes",
      "`routes: false` beside it: the mesh sees no requests there",
    );
  }
  if (probes !== undefined && routes === false) {
    const right =
      "leave it out: for a whole Server they could ask anything, and Linkerd lets the pods' HTTP probes pass by itself";
    findings.key(place.at("probes"), "`probes` with `routes: false`", right);
  }
}

/** Linkerd looks for no identity where the name is none that DNS has. */
function checkIdentity(identity: string, suffix: string, place: Place, findings: Findings): void {
  const whole = /[.].*[.]|:/.test(identity) ? identity : identity + suffix;
  if (whole.length <= LONGEST_IDENTITY) return;
  const found = `an identity whose whole name has ${whole.length} characters`;
  findings.fault(
    place,
    found,
    `at most ${LONGEST_IDENTITY}, the mesh's own part included: Linkerd ignores a longer one`,
  );
}

function checkNetwork(text: string, place: Place, findings: Findings): void {
  const network = readNetwork(text);
  if (network === undefined) findings.fault(place, `the text ${JSON.stringify(text)}`, "a network such as 10.0.0.0/16");
  else if (network.length === 0) findings.fault(place, "everybody's network", "the networks of the nodes that probe");
  else if (network.meant !== undefined) findings.fault(place, `bits behind the prefix in ${text}`, network.meant);
}

/** What several services say of one backend, or of the same pods; and probes that would reach nothing. */
export function checkMeshes(services: readonly CompiledService[], findings: Findings): void {
  const seen: CompiledService[] = [];
  const routes = services.flatMap(({ service }) => service.routes);
  for (const compiled of services) {
    const { mesh } = compiled.service;
    if (mesh === undefined) continue;
    for (const other of seen) checkPair(mesh, compiled.mesh, other, findings);
    seen.push(compiled);
    if (mesh.probes.length > 0 && mesh.routes && !routes.some((route) => isProbed(route, mesh))) {
      const right = `a route to the backend "${mesh.backend}" that allows \`anyone\` without \`when\`, for the path that is probed`;
      findings.key(compiled.mesh.at("probes"), "`probes` without a route that they may use", right);
    }
  }
}

function checkPair(mesh: Mesh, place: Place, other: CompiledService, findings: Findings): void {
  const first = other.service.mesh;
  if (first === undefined) return;
  if (first.backend === mesh.backend && mesh.backend !== "") {
    const right = `say it once, for all that leads there; the first is at ${other.mesh.text}`;
    findings.key(place, `a second \`mesh\` for the backend "${mesh.backend}"`, right);
  } else if (first.namespace === mesh.namespace && first.service === mesh.service && first.port === mesh.port) {
    const right = `one backend for both; the first is at ${other.mesh.text}`;
    findings.key(place, `a second \`mesh\` for port ${mesh.port} of ${mesh.service} in ${mesh.namespace}`, right);
  } else if (overlap(first, mesh)) {
    const right = `labels that tell them apart: Linkerd obeys the older Server of two for one port; the first is at ${other.mesh.text}`;
    findings.warn(place.at("pods"), `pods that another \`mesh\` can mean, too`, right);
  }
}

/** A pod could have the labels of both. */
function overlap(a: Mesh, b: Mesh): boolean {
  const differ = Object.entries(a.pods).some(([name, value]) => (b.pods[name] ?? value) !== value);
  const apart = typeof a.port === typeof b.port && a.port !== b.port;
  return a.namespace === b.namespace && !differ && !apart;
}

/** Whoever comes may pass, whatever else the request has: then so may a probe, which does not come through HAProxy. */
export function isProbed({ access, asks, backend }: Route, mesh: Mesh): boolean {
  return backend === mesh.backend && access === "anyone" && asks.when === undefined;
}
