import type { Path } from "../../policies/source/document.ts";
import { type IssuerConfig, spellingsOf } from "./config.ts";
import type { Section } from "./section.ts";
import type { Environment } from "./substitute.ts";

/**
 * Reads the section of one issuer of a type. What the schema of the configuration refuses need not be told again.
 *
 * @param environment what may name a proxy
 */
export type ReadIssuer<Own extends IssuerConfig = IssuerConfig> = (
  name: string,
  section: Section,
  environment: Environment,
) => Own;

/** How the sections of each type are read, by the word that `type` has for it. */
export type IssuerReaders = Readonly<Record<string, { readonly read: ReadIssuer }>>;

/** Reads `issuers`. No two may have one name in credentials, however written: each belongs to exactly one of them. */
export function readIssuers(
  issuers: Section,
  environment: Environment,
  readers: IssuerReaders,
): readonly IssuerConfig[] {
  const first = new Map<string, Section>();
  return issuers.keys().flatMap((name) => {
    const section = issuers.section(name);
    const type = section.text("type");
    const issuer = Object.hasOwn(readers, type) ? readers[type]?.read(name, section, environment) : undefined;
    if (issuer === undefined) return [];
    for (const [index, spelling] of spellingsOf(issuer).entries()) {
      const before = first.get(spelling);
      if (spelling === "" || before === section) continue;
      if (before === undefined) first.set(spelling, section);
      else
        section.fault(placeOf(section, index), `a URL of its own: that of the issuer at ${before.place} is the same`);
    }
    return [issuer];
  });
}

function placeOf(section: Section, index: number): Path {
  return Array.isArray(section.value("issuer")) ? ["issuer", index] : ["issuer"];
}
