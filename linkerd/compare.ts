import { isDeepStrictEqual } from "node:util";
import { dangling } from "./dangling.ts";
import { type Drift, identified, keyOf, nameOf } from "./drift.ts";
import type { Exported } from "./export.ts";
import { foreign } from "./foreign.ts";
import type { LinkerdInput } from "./input.ts";
import { type Manifest, manifestsOf } from "./manifests.ts";
import { meshServers } from "./servers.ts";
import { workloadDrift } from "./workloads.ts";

/**
 * Every difference, in the order of the manifests, and then by object.
 *
 * @throws InexpressibleError where there can be no manifests
 */
export function driftOf(input: LinkerdInput, exported: readonly Exported[]): readonly Drift[] {
  const manifests = manifestsOf(input);
  const servers = meshServers(input);
  const there = new Map(exported.map((object) => [keyOf(object), object]));
  const ours = new Set(manifests.map((manifest) => keyOf(identified(manifest))));
  const others = exported.filter((object) => !ours.has(keyOf(object)));
  return [
    ...manifests.flatMap((manifest) => differences(manifest, there)),
    ...servers.flatMap((server) => foreign(server, others)),
    ...dangling(new Set(servers.map(({ mesh }) => mesh.namespace)), exported, there),
    ...servers.flatMap((server) => workloadDrift(server, input.mesh, exported)),
  ];
}

function differences(manifest: Manifest, there: ReadonlyMap<string, Exported>): readonly Drift[] {
  const object = nameOf(identified(manifest));
  const found = there.get(keyOf(identified(manifest)));
  if (found === undefined) return [{ drift: "missing", object, what: "it is not in the cluster: apply it" }];
  const keys = [...new Set([...Object.keys(manifest.spec), ...Object.keys(found.spec)])].sort();
  const changed = keys.filter((key) => !isDeepStrictEqual(manifest.spec[key], found.spec[key]));
  if (changed.length === 0) return [];
  return [{ drift: "changed", object, what: `its spec has another ${changed.join(", ")}: apply it anew` }];
}
