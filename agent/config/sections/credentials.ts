import { NOT_THE_CLIENTS } from "../../../haproxy/client-headers.ts";
import type { CredentialName } from "../../../haproxy/credentials.ts";
import { OWNED_HEADERS } from "../../../haproxy/owned-headers.ts";
import { headerNameFault } from "../../../policies/judging/headers.ts";
import type { IssuerConfig } from "../config.ts";
import { checkNetwork } from "../networks.ts";
import type { Section } from "../section.ts";

/** Reads `credentials` of an issuer: where they stand, and from whom headers count. */
export function readCredentials(issuer: Section): Pick<IssuerConfig, "credentials" | "hops"> {
  const places = issuer.value("credentials");
  const list = issuer.section("credentials");
  const hops: Record<string, readonly string[]> = {};
  const credentials = (Array.isArray(places) ? places : []).flatMap((place: unknown, index) =>
    place === "authorization" ? (["bearer"] as const) : placeOf(list.section(index), hops),
  );
  return { credentials, ...(Object.keys(hops).length === 0 ? {} : { hops }) };
}

function placeOf(place: Section, hops: Record<string, readonly string[]>): readonly CredentialName[] {
  const [kind, ...others] = place.keys().filter((key) => key !== "from");
  if (kind === undefined || others.length > 0) {
    place.fault([], "one of `header`, `subprotocol` and `cookie`");
    return [];
  }
  const name = place.text(kind);
  if (kind === "header") return [inHeader(place, name, hops)];
  if (place.keys().includes("from")) place.fault(["from"], "no `from` here: only of a header it is asked who wrote it");
  return kind === "subprotocol" || kind === "cookie" ? [`${kind}:${name}`] : [];
}

const ORIGIN = "`from: client`, or `from: [NETWORK]` of the hop that puts it there and takes away what clients send";

/** What anybody may have written proves less than what a hop has that takes away everybody else's. */
function inHeader(place: Section, name: string, hops: Record<string, readonly string[]>): CredentialName {
  checkHeader(place, name);
  const from = place.value("from");
  if (from === undefined) place.fault([], ORIGIN);
  if (typeof from === "string") return `header:${name}`;
  const networks = place.texts("from");
  for (const [index, network] of networks.entries()) checkNetwork(place, ["from", index], network);
  hops[name] = networks;
  return `hop:${name}`;
}

function checkHeader(place: Section, name: string): void {
  const isDeleted = NOT_THE_CLIENTS.some((each) =>
    each.endsWith("*") ? name.startsWith(each.slice(0, -1)) : name === each,
  );
  const fault = headerNameFault(name, OWNED_HEADERS);
  if (name === "authorization") place.fault(["header"], "`authorization` in place of the mapping");
  else if (fault !== undefined) place.fault(["header"], fault.right);
  else if (isDeleted) place.fault(["header"], "another header: HAProxy takes this one away from every request");
}
