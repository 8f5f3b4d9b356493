import { stringify } from "yaml";
import type { LinkerdInput } from "./input.ts";
import { manifestsOf } from "./manifests.ts";
import { unenforced } from "./report.ts";

/** Texts are quoted that YAML 1.1 takes for something else, which kubectl reads. */
const YAML = { lineWidth: 0, aliasDuplicateObjects: false, compat: "yaml-1.1" } as const;

/** All objects as one YAML stream; what they cannot say stands at its beginning. The same input gives the same bytes. */
export function renderManifests(input: LinkerdInput): string {
  const objects = manifestsOf(input).map((manifest) => `---\n${stringify(manifest, YAML)}`);
  return `${header(input)}${objects.join("")}`;
}

export const KUSTOMIZATION = `# Rendered by "countersign generate linkerd".
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - linkerd.yaml
`;

function header(input: LinkerdInput): string {
  const lines = unenforced(input).map(
    ({ server, rule, what }) => `#   ${server} ${rule === "" ? "" : `${rule} `}${oneLine(what)}`,
  );
  const told =
    lines.length === 0 ? [] : ["# HAProxy's side asks for more than these say. Not asked for in the mesh:", ...lines];
  return [
    `# Rendered by "countersign generate linkerd" from the policies' revision ${input.revision}.`,
    ...told,
    "",
  ].join("\n");
}

/** A condition may have several lines, and only the first would be in the comment. */
export function oneLine(text: string): string {
  return text.replace(/[\s\p{Cc}\u2028\u2029]+/gu, " ");
}
