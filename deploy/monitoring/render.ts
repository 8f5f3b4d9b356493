import { writeFileSync } from "node:fs";
import { stringify } from "yaml";
import { ALERTS } from "./alerts.ts";
import { dashboard } from "./dashboard.ts";

const HEAD = "# Written by `npm run monitoring` from alerts.ts.\n";

/** The files beside this one, by name. */
export function monitoringFiles(): Readonly<Record<string, string>> {
  const rules = ALERTS.map(({ name, expression, after, severity, because, remedy }) => ({
    alert: name,
    expr: expression,
    for: after,
    labels: { severity },
    annotations: { summary: because, description: remedy },
  }));
  return {
    "alerts.yaml": HEAD + stringify({ groups: [{ name: "countersign", rules }] }, { lineWidth: 0 }),
    "dashboard.json": `${JSON.stringify(dashboard(), undefined, 2)}\n`,
  };
}

if (import.meta.main) {
  for (const [name, text] of Object.entries(monitoringFiles())) writeFileSync(new URL(name, import.meta.url), text);
}
