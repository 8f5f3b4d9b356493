import type { Cors } from "../policies.ts";
import type { Findings, Place } from "./findings.ts";
import type { CorsEntry, ServiceEntry } from "./policy-file.ts";
import type { CompiledService } from "./service.ts";

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };
const LONGEST = 24 * 3600;
const DEFAULT = 600;
const LONGEST_LIST = 512;

/** What the service lets pages of other origins do; undefined where it says nothing of them. */
export function compileCors(entry: ServiceEntry, service: Place, findings: Findings): Cors | undefined {
  const { cors } = entry;
  if (cors === undefined) return undefined;
  const place = service.at("cors");
  for (const [index, origin] of cors.origins.entries()) checkOrigin(origin, place.at("origins", index), findings);
  if (entry.preflight !== undefined) {
    const right = "leave it out: where `cors` is, HAProxy answers preflights itself";
    findings.key(service.at("preflight"), "`preflight` beside `cors`", right);
  }
  return {
    origins: originsOf(cors, place, findings),
    headers: cors.headers ?? [],
    expose: exposed(cors, place, findings),
    credentials: cors.credentials ?? false,
    maxAge: maxAgeOf(cors, place, findings),
  };
}

function originsOf({ origins, credentials }: CorsEntry, place: Place, findings: Findings): Cors["origins"] {
  if (!origins.includes("*")) return origins;
  if (origins.length > 1)
    findings.fault(place.at("origins"), '`"*"` beside other origins', "it alone, or the others alone");
  if (credentials === true) {
    const right = "the origins themselves: a page of any origin could act for whoever is logged in";
    findings.fault(place.at("origins"), '`"*"` with `credentials: true`', right);
  }
  return "any";
}

/** Origins are compared letter by letter with what browsers send (RFC 6454, section 6.2), so it must be one of those. */
function checkOrigin(text: string, place: Place, findings: Findings): void {
  if (text === "*") return;
  const right = originFault(text);
  if (right !== undefined) findings.fault(place, `"${text}" for an origin`, right);
}

const ORIGIN =
  /^[a-z][a-z0-9+.-]{0,31}:\/\/(?:[a-z0-9_-][a-z0-9_.-]{0,252}|\[[0-9a-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?$/;
const EXAMPLE = "scheme, host and, where it is not the scheme's own, port, such as https://app.example.com";

function originFault(text: string): string | undefined {
  if (text === "null") return "the origin of a page that has one: pages of many sorts say `null`, an attacker's too";
  if (/^[^:]*:\/\/.*\*/.test(text))
    return "each origin by itself: a wildcard takes pages of hosts that nobody has thought of";
  const plain = /^([^:/]+:\/\/[^/?#]+)[/?#]/.exec(text)?.[1];
  if (plain !== undefined) return `"${plain}": an origin has no path, nor a slash at its end`;
  if (ORIGIN.test(text.toLowerCase()) && !ORIGIN.test(text))
    return `"${text.toLowerCase()}": browsers send it in lower case`;
  const own = /^(http:\/\/.+):80$|^(https:\/\/.+):443$/.exec(text);
  if (own !== null) return `"${own[1] ?? own[2]}": browsers leave out the scheme's own port`;
  return ORIGIN.test(text) ? undefined : EXAMPLE;
}

/** HAProxy has to find room for it in every answer. */
function exposed({ expose = [] }: CorsEntry, place: Place, findings: Findings): readonly string[] {
  const length = expose.join(", ").length;
  if (length > LONGEST_LIST)
    findings.fault(place.at("expose"), `names of ${length} characters`, `at most ${LONGEST_LIST} together`);
  return expose;
}

function maxAgeOf({ max_age }: CorsEntry, place: Place, findings: Findings): number {
  if (max_age === undefined) return DEFAULT;
  const seconds = Number(max_age.slice(0, -1)) * (SECONDS[max_age.slice(-1)] ?? 0);
  if (seconds > LONGEST) findings.fault(place.at("max_age"), `"${max_age}"`, "at most 24h: browsers keep it no longer");
  return seconds;
}

/** HAProxy answers for a host and knows of no routes, so the services at one host have to be of one mind. */
export function checkSharedCors(services: readonly CompiledService[], findings: Findings): void {
  const first = new Map<string, CompiledService>();
  for (const compiled of services) {
    for (const { host, place } of compiled.hosts) {
      const other = first.get(host);
      if (other === undefined) first.set(host, compiled);
      else if (JSON.stringify(other.service.cors) !== JSON.stringify(compiled.service.cors)) {
        const right = "the same in both, letter by letter: HAProxy answers preflights by the host alone";
        findings.fault(
          place,
          `"${host}" with another \`cors\` than the service "${other.service.name}" has there`,
          right,
        );
      }
    }
  }
}
