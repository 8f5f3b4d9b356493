import { dirname, resolve } from "node:path";
import { isMapping } from "../../../policies/claim-path.ts";
import { meaningless, signIn, strayIn } from "../../../policies/signs.ts";
import { readDocument } from "../../../policies/source/document.ts";
import { schemaFaults } from "../../../policies/source/validate.ts";
import type { IssuerConfig } from "../config.ts";
import { Section } from "../section.ts";
import type { IssuerReaders } from "../sections/issuers.ts";
import { readText } from "./read-file.ts";
import SCHEMA from "./revoked.schema.json" with { type: "json" };

/** By what an identity can be told that was taken back, as the file of revocations has it. */
export const REVOCABLE = ["subject", "token_id", "key_id", "role_session", "serial"] as const;
export type Revocable = (typeof REVOCABLE)[number];

/** What was taken back: whatever has all of this. */
export interface Revocation {
  /** An issuer's name. */
  readonly issuer: string;
  /** A serial number in lower-case hexadecimal digits, without zeros before it. */
  readonly by: Readonly<Partial<Record<Revocable, string>>>;
  /** Milliseconds since the epoch: only what was issued before. */
  readonly issuedBefore: number | undefined;
}

const LARGEST = 4 << 20;

/** Reads the file that `revoked` names. What is wrong with it is told where it is, in that file. */
export function readRevoked(
  root: Section,
  issuers: readonly IssuerConfig[],
  types: IssuerReaders,
): readonly Revocation[] | undefined {
  const named = root.optionalText("revoked");
  if (named === undefined) return undefined;
  const { document: config, faults, warnings, files } = root.reading;
  const file = resolve(dirname(config.file), named);
  files.push(file);
  const read = readText(file, LARGEST);
  if ("problem" in read) {
    const found = `${root.found(["revoked"])} names a file that cannot be read: ${read.problem}`;
    root.fault(["revoked"], "a file with `revoked: []`, a list of what was taken back", found);
    return [];
  }
  const document = readDocument(file, read.text);
  const wrong = "value" in document ? schemaFaults(document, SCHEMA) : document;
  faults.push(...wrong);
  if (!("value" in document) || wrong.length > 0) return [];
  const list = new Section({ document, schema: SCHEMA, faults, warnings, files }, [], document.value);
  return list.items("revoked").map((entry) => revocationOf(entry, issuers, types));
}

function revocationOf(entry: Section, issuers: readonly IssuerConfig[], types: IssuerReaders): Revocation {
  const issuer = entry.text("issuer");
  const keys = REVOCABLE.filter((key) => entry.keys().includes(key));
  const before = entry.optionalText("issued_before");
  const config = issuers.find(({ name }) => name === issuer);
  if (config === undefined) {
    entry.fault(["issuer"], `an issuer of the configuration: ${issuers.map(({ name }) => name).join(", ")}`);
  }
  if (keys.length === 0) entry.fault([], `one of ${REVOCABLE.join(", ")}`);
  // What can hold for nobody takes nothing back, and somebody believes that it does.
  const { revocable = REVOCABLE } = types[config?.type ?? ""] ?? {};
  for (const key of keys) {
    if (key !== "subject" && !revocable.includes(key)) {
      entry.fault([key], `${["subject", ...revocable].join(", ")}: credentials of this issuer have no ${key}`);
    }
  }
  return {
    issuer,
    by: Object.fromEntries(
      keys.map((key) => [key, key === "serial" ? digitsOf(entry.text(key)) : exactly(entry, key)]),
    ),
    issuedBefore: before === undefined ? undefined : entry.instant("issued_before", "2026-11-28T12:00:00Z"),
  };
}

/** With a sign of patterns, or with what came along at an end, it would be nobody's, and somebody believes that it was taken back. */
function exactly(entry: Section, key: Revocable): string {
  if (isMapping(entry.value(key))) return entry.section(key).text("equals");
  const text = entry.text(key);
  const literally = `\`{ equals: ${JSON.stringify(text)} }\` if it is really called so`;
  const sign = signIn(text);
  const stray = strayIn(text);
  if (sign !== undefined) {
    const right = `the whole ${key}, as credentials have it: each in an entry of its own; ${literally}`;
    entry.fault([key], right, meaningless(sign.sign));
  } else if (stray !== undefined) entry.fault([key], `${JSON.stringify(stray.name)}; ${literally}`, stray.found);
  return text;
}

/** A serial number as it is compared. */
function digitsOf(serial: string): string {
  return serial
    .toLowerCase()
    .replaceAll(":", "")
    .replace(/^0+(?=.)/, "");
}
