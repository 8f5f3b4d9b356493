import { isMapping } from "../../../policies/claim-path.ts";
import type { SourceDocument } from "../../../policies/source/document.ts";
import type { Section } from "../section.ts";
import { PRESETS } from "./presets.ts";

type Mapping = Readonly<Record<string, unknown>>;

/** The keys whose mappings are put together; every other one is taken whole. */
const MERGED: ReadonlySet<string> = new Set(["claims", "keys", "require"]);

/** A configuration with what the presets of its issuers say where it says nothing itself. */
export function withPresets(document: SourceDocument): SourceDocument {
  const { value } = document;
  if (!isMapping(value) || !isMapping(value.issuers)) return document;
  const issuers = Object.entries(value.issuers).map(
    ([name, own]) => [name, isMapping(own) ? filled(own) : own] as const,
  );
  return document.withValue({ ...value, issuers: Object.fromEntries(issuers) });
}

/** The values of an issuer's preset, as they are for this issuer; none where there is no such preset. */
export function presetOf(own: Mapping): Mapping {
  const { preset, type } = own;
  const known = typeof preset === "string" && Object.hasOwn(PRESETS, preset) ? PRESETS[preset] : undefined;
  if (known === undefined || (type !== undefined && type !== known.values.type)) return {};
  const [issuer] = [own.issuer].flat();
  const values = typeof issuer === "string" ? named(known.values, issuer) : known.values;
  return saysWhereKeysAre(own) ? elsewhere(values as Mapping) : (values as Mapping);
}

/** That an issuer is called as its preset's provider calls its issuers. */
export function checkForm(section: Section): void {
  const name = section.text("preset");
  const form = Object.hasOwn(PRESETS, name) ? PRESETS[name]?.form : undefined;
  const [issuer] = section.texts("issuer");
  if (issuer === undefined) section.need("issuer");
  else if (form !== undefined && !form.pattern.test(issuer)) {
    section.fault(
      Array.isArray(section.value("issuer")) ? ["issuer", 0] : ["issuer"],
      `as the preset ${name} has it, such as ${form.example}`,
    );
  }
}

function filled(own: Mapping): Mapping {
  const preset = presetOf(own);
  const both = Object.keys(preset).filter((key) => MERGED.has(key) && isMapping(own[key]));
  const merged = both.map((key) => [key, { ...(preset[key] as Mapping), ...(own[key] as Mapping) }] as const);
  return { ...preset, ...own, ...Object.fromEntries(merged) };
}

/** Of the places of keys one is chosen, as a whole. */
function saysWhereKeysAre({ discovery, keys }: Mapping): boolean {
  return discovery !== undefined || (isMapping(keys) && (keys.url ?? keys.file) !== undefined);
}

function elsewhere({ discovery, keys, ...values }: Mapping): Mapping {
  if (!isMapping(keys)) return values;
  const { url, file, ...others } = keys;
  return { ...values, keys: others };
}

function named(value: unknown, issuer: string): unknown {
  if (typeof value === "string") return value.replaceAll("{issuer}", issuer.replace(/\/$/, ""));
  if (Array.isArray(value)) return value.map((item) => named(item, issuer));
  if (!isMapping(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, named(member, issuer)]));
}
