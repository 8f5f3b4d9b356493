import { clusterFindings } from "./cluster.ts";
import { configFindings, haproxyFindings } from "./files.ts";
import type { Finding } from "./finding.ts";
import { frontendFindings } from "./frontend.ts";
import { meshFindings } from "./mesh.ts";
import { agentFindings, clockFindings } from "./running.ts";
import type { Sources } from "./sources.ts";
import { trafficFindings } from "./traffic.ts";

/** One subject: what is looked at, and by which source it can be. */
interface Subject {
  readonly name: string;
  /** What it says that it could not look at, where this option was not given. */
  readonly unseen: readonly (readonly [option: string, what: string])[];
  readonly look: (sources: Sources) => readonly Finding[];
}

/** In the order in which findings are told. */
const SUBJECTS: readonly Subject[] = [
  { name: "configuration", unseen: [], look: configFindings },
  { name: "haproxy", unseen: [["haproxy", "HAProxy's files: --haproxy DIR"]], look: haproxyFindings },
  {
    name: "frontend",
    unseen: [["certificate", "HAProxy's certificates: --certificate FILE"]],
    look: frontendFindings,
  },
  { name: "agent", unseen: [["agent", "the running agent: --agent URL of its admin listener"]], look: agentFindings },
  { name: "clocks", unseen: [["issuers", "the issuers' clocks: --issuers"]], look: clockFindings },
  {
    name: "mesh",
    unseen: [
      ["anchors", "the mesh's trust anchors: --anchors FILE"],
      ["mesh-issuer", "the mesh's issuer: --mesh-issuer FILE"],
    ],
    look: meshFindings,
  },
  {
    name: "traffic",
    unseen: [["proxy", "the Linkerd proxy beside HAProxy: --proxy URL of its admin port"]],
    look: trafficFindings,
  },
  { name: "cluster", unseen: [["export", "the cluster: --export FILE"]], look: clusterFindings },
];
/** Of no interest to who has no mesh. */
const OF_MESHES = new Set(["mesh", "traffic", "cluster"]);

export interface Examination {
  readonly findings: readonly (Finding & { readonly subject: string })[];
  /** What could not be looked at, and what it takes. */
  readonly unseen: readonly string[];
}

/** Looks at everything that there is. @param asked names of the options that were given; what came of them is told elsewhere */
export function examine(sources: Sources, asked: ReadonlySet<string>): Examination {
  const subjects = SUBJECTS.filter(({ name }) => sources.config.mesh !== undefined || !OF_MESHES.has(name));
  return {
    findings: subjects.flatMap(({ name, look }) => look(sources).map((finding) => ({ subject: name, ...finding }))),
    unseen: subjects.flatMap(({ unseen }) => unseen.flatMap(([option, what]) => (asked.has(option) ? [] : [what]))),
  };
}
