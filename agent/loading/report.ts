import { addressText } from "../net/address.ts";
import { allAddresses } from "../net/addresses.ts";
import type { LoadReport } from "../telemetry/events.ts";
import type { CheckedSet } from "./load.ts";

/** What a load is told as. */
export function reportOf(
  { config, checked, warnings, silent }: CheckedSet,
  times: Pick<LoadReport, "loadedAt" | "durationMs">,
): LoadReport {
  const services = checked.files.flatMap(({ content }) => Object.values(content.services ?? {}));
  const { admin } = config.listen;
  return {
    ...times,
    revision: checked.revision,
    services: services.length,
    routes: services.reduce((sum, { routes }) => sum + routes.length, 0),
    issuers: config.issuers.map(({ name }) => name),
    warnings,
    silent,
    log: config.log,
    listen: [...allAddresses(config), ...(admin === undefined ? [] : [admin])].map(addressText),
  };
}
