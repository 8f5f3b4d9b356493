import type { Path } from "../../../policies/source/document.ts";
import { type IssuerConfig, spellingsOf } from "../config.ts";
import type { Revocable } from "../files/revoked.ts";
import type { Environment } from "../files/substitute.ts";
import { checkForm } from "../presets/apply-presets.ts";
import type { Section } from "../section.ts";

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
export type IssuerReaders = Readonly<
  Record<string, { readonly read: ReadIssuer; readonly revocable?: readonly Revocable[] }>
>;

/** Reads `issuers`. No two may have one name in credentials, however written: each belongs to exactly one of them. */
export function readIssuers(
  issuers: Section,
  environment: Environment,
  readers: IssuerReaders,
): readonly IssuerConfig[] {
  const first = new Map<string, Section>();
  const read: Read[] = issuers.keys().flatMap((name) => {
    const section = issuers.section(name);
    const type = section.text("type");
    if (section.keys().includes("preset")) checkForm(section);
    const issuer = Object.hasOwn(readers, type) ? readers[type]?.read(name, section, environment) : undefined;
    if (issuer === undefined) return [];
    for (const [index, spelling] of issuer.marks === undefined ? spellingsOf(issuer).entries() : []) {
      const before = first.get(spelling);
      if (spelling === "" || before === section) continue;
      if (before === undefined) first.set(spelling, section);
      else tellTwin(section, index, before);
    }
    return [{ issuer, section }];
  });
  for (const [index, one] of read.entries()) {
    checkPrefixes(one, read.slice(0, index));
    checkMarks(one, read.slice(0, index));
    checkOrigins(one, read.slice(0, index));
  }
  return read.map(({ issuer }) => issuer);
}

/** How every JWT begins: base64url of `{"`. */
const JWT = "ey";

interface Read {
  readonly issuer: IssuerConfig;
  readonly section: Section;
}

/** A credential that begins as two issuers' do would be nobody's. */
function checkPrefixes({ issuer, section }: Read, before: readonly Read[]): void {
  const at = section.keys().filter((key) => /^(?:token_)?prefix$/.test(key));
  for (const prefix of issuer.prefixes ?? []) {
    const isJwts = prefix !== "" && (prefix.startsWith(JWT) || JWT.startsWith(prefix));
    if (isJwts) section.fault(at, `another beginning: every JWT begins with ${JWT}`);
    const twin = before.find(
      (other) => other.issuer.issuer !== issuer.issuer && areAlike(issuer, other.issuer, prefix),
    );
    if (twin === undefined) continue;
    const right =
      prefix === ""
        ? `a prefix: the issuer at ${twin.section.place} has none either, and takes whatever is nobody else's`
        : `a beginning of its own: that of the issuer at ${twin.section.place} begins so, or this one like that`;
    section.fault(at, right);
  }
}

/** One that bears two issuers' marks would be nobody's. */
function checkMarks({ issuer, section }: Read, before: readonly Read[]): void {
  for (const [key, marks] of Object.entries(issuer.marks ?? {})) {
    const twin = before.find((other) => other.issuer.marks?.[key]?.some((mark) => marks.includes(mark)));
    if (twin === undefined) continue;
    const place = twin.section.place;
    section.fault([key], `what no other issuer has: of this and the one at ${place} neither could be told`);
  }
}

/** HAProxy takes a header away from whom it does not count from before anybody knows whose credential it is. */
function checkOrigins({ issuer, section }: Read, before: readonly Read[]): void {
  for (const [index, kind] of issuer.credentials.entries()) {
    const origin = originOf(issuer, kind);
    if (origin === undefined) continue;
    const twin = before.find((other) =>
      other.issuer.credentials.some((each) => {
        const theirs = originOf(other.issuer, each);
        return theirs?.header === origin.header && theirs.from !== origin.from;
      }),
    );
    if (twin === undefined) continue;
    section.fault(
      ["credentials", index],
      `the same \`from\` for one header as the issuer at ${twin.section.place} has`,
    );
  }
}

function originOf({ hops = {} }: IssuerConfig, kind: string) {
  const [, place, header = ""] = /^(header|hop):(.*)$/.exec(kind) ?? [];
  if (place === undefined) return undefined;
  return { header, from: place === "header" ? "client" : [...(hops[header] ?? [])].sort().join(" ") };
}

function areAlike(one: IssuerConfig, other: IssuerConfig, prefix: string): boolean {
  if (!one.credentials.some((kind) => other.credentials.includes(kind))) return false;
  const others = other.prefixes ?? [];
  if (prefix === "") return others.includes("");
  return others.some((each) => each !== "" && (each.startsWith(prefix) || prefix.startsWith(each)));
}

/** Two issuers with one name: of those without a URL it follows from their keys. */
function tellTwin(section: Section, index: number, before: Section): void {
  if (section.keys().includes("issuer")) {
    section.fault(placeOf(section, index), `a URL of its own: that of the issuer at ${before.place} is the same`);
  } else section.fault([], `one issuer for both: that at ${before.place} takes the same credentials`);
}

function placeOf(section: Section, index: number): Path {
  return Array.isArray(section.value("issuer")) ? ["issuer", index] : ["issuer"];
}
