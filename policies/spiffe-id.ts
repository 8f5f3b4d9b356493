/** A SPIFFE id taken apart. */
export interface SpiffeId {
  readonly trustDomain: string;
  /** Empty for that of a trust domain; else with its `/`. */
  readonly path: string;
}

const LONGEST = 2048;
const SPIFFE = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[A-Za-z0-9._-]+)*)$/;

/** Reads a SPIFFE id as its standard has it (SPIFFE-ID, section 2); undefined for every other text. */
export function spiffeId(text: string): SpiffeId | undefined {
  if (text.length > LONGEST) return undefined;
  const [whole, trustDomain = "", path = ""] = SPIFFE.exec(text) ?? [];
  if (whole === undefined || path.split("/").some((segment) => segment === "." || segment === "..")) return undefined;
  return { trustDomain, path };
}

/** What a policy wants a SPIFFE id to be: one, or whatever is below a path, which ends in `/`. */
export type WantedUri = string | { readonly prefix: string };

/** The trust domain of what is wanted; undefined where no SPIFFE id of a workload could be it. */
export function wantedDomain(wanted: WantedUri): string | undefined {
  if (typeof wanted === "string") {
    const id = spiffeId(wanted);
    return id === undefined || id.path === "" ? undefined : id.trustDomain;
  }
  return wanted.prefix.endsWith("/") ? spiffeId(wanted.prefix.slice(0, -1))?.trustDomain : undefined;
}
