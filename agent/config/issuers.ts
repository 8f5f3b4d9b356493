import type { IssuerConfig } from "./config.ts";
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

/** Reads `issuers`. No two may have one URL: a credential belongs to exactly one of them. */
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
    const before = first.get(issuer.issuer);
    if (issuer.issuer === "") return [issuer];
    if (before === undefined) first.set(issuer.issuer, section);
    else section.fault(["issuer"], `a URL of its own: that of the issuer at ${before.place} is the same`);
    return [issuer];
  });
}
