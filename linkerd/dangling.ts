import { type Drift, keyOf, nameOf } from "./drift.ts";
import { type Exported, fields, members, text } from "./export.ts";
import { GATEWAY_GROUP, POLICY_GROUP } from "./manifests.ts";

/** The kinds that are asked for in an export, and so are there if they are in the cluster. */
const KINDS = new Set([
  `${POLICY_GROUP}/Server`,
  `${POLICY_GROUP}/MeshTLSAuthentication`,
  `${POLICY_GROUP}/NetworkAuthentication`,
  `${GATEWAY_GROUP}/HTTPRoute`,
]);

/** References of policies and routes to what is not there: Linkerd ignores such a policy, and nobody gets in by it. */
export function dangling(
  namespaces: ReadonlySet<string>,
  exported: readonly Exported[],
  there: ReadonlyMap<string, Exported>,
): readonly Drift[] {
  return exported
    .filter(({ namespace }) => namespaces.has(namespace))
    .flatMap((object) =>
      referencesOf(object)
        .map((reference) => {
          const { group, kind, name, namespace } = fields(reference);
          const own = { group: text(group), kind: text(kind), name: text(name) };
          return { ...own, namespace: text(namespace) || object.namespace };
        })
        .filter((reference) => KINDS.has(`${reference.group}/${reference.kind}`) && !there.has(keyOf(reference)))
        .map((reference) => {
          const what = `it names the ${nameOf(reference)}, which is not there: Linkerd ignores it`;
          return { drift: "dangling", object: nameOf(object), what } as const;
        }),
    );
}

function referencesOf({ kind, spec }: Exported): readonly unknown[] {
  if (kind === "AuthorizationPolicy") return [spec.targetRef, ...members(spec.requiredAuthenticationRefs)];
  return kind === "HTTPRoute" ? members(spec.parentRefs) : [];
}
