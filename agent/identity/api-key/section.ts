import { dirname, resolve } from "node:path";
import type { IssuerConfig } from "../../config/config.ts";
import { readAudiences } from "../../config/names.ts";
import type { Section } from "../../config/section.ts";
import { readCredentials } from "../../config/sections/credentials.ts";
import { type KeyRecords, readRecords } from "./records.ts";

/** Keys that somebody was given, by a file with their digests. */
export interface ApiKeyIssuer extends IssuerConfig {
  readonly type: "api-key";
  /** What its keys begin with; it is its `issuer`, too. */
  readonly prefix: string;
  readonly keys: KeyRecords;
}

/** Reads the section of an issuer of this type, and the file that it names. */
export function readApiKey(name: string, section: Section): ApiKeyIssuer {
  const prefix = section.text("prefix");
  const file = section.text("file");
  const keys = file === "" ? {} : readRecords(resolve(dirname(section.reading.document.file), file), section, "file");
  return {
    name,
    type: "api-key",
    issuer: prefix,
    ...readCredentials(section),
    prefixes: [prefix],
    audiences: readAudiences(section),
    kinds: kindsOf(keys),
    prefix,
    keys,
  };
}

/** Undefined where there is no key yet: then its kind cannot be told. */
function kindsOf(keys: KeyRecords): ApiKeyIssuer["kinds"] {
  const kinds = new Set(Object.values(keys).map(({ kind }) => kind));
  return kinds.size === 0 ? undefined : [...kinds];
}
