import type { Kind } from "../../../policies/principal.ts";
import { readDocument } from "../../../policies/source/document.ts";
import { schemaFaults } from "../../../policies/source/validate.ts";
import SCHEMA from "../../config/files/api-keys.schema.json" with { type: "json" };
import { readText } from "../../config/files/read-file.ts";
import { type Reading, Section } from "../../config/section.ts";

/** Whom a key stands for. */
export interface KeyRecord {
  /** Of the whole key, in hexadecimal digits. */
  readonly sha256: string;
  readonly subject: string;
  readonly kind: Kind;
  readonly groups: readonly string[];
  readonly scopes: readonly string[];
  /** Undefined for all of the issuer's. */
  readonly audiences: readonly string[] | undefined;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly revoked: boolean;
}

/** The records of a file by the ids of the keys. */
export type KeyRecords = Readonly<Record<string, KeyRecord>>;

const LARGEST = 1 << 20;
/** The largest date that JavaScript knows: it never comes. */
const NEVER = 8_640_000_000_000_000;

/** Reads a file with keys. What is wrong with it is told where it is, in that file. @param named where the file is named */
export function readRecords(file: string, issuer: Section, named: string): KeyRecords {
  const { faults, warnings, files } = issuer.reading;
  files.push(file);
  const read = readText(file, LARGEST);
  if ("problem" in read) {
    const found = `${issuer.found([named])} names a file that cannot be read: ${read.problem}`;
    issuer.fault([named], "a file with keys; `countersign keys api create` begins one", found);
    return {};
  }
  const document = readDocument(file, read.text);
  if (!("value" in document)) {
    faults.push(...document);
    return {};
  }
  const reading: Reading = { document, schema: SCHEMA, faults, warnings, files };
  const wrong = schemaFaults(document, SCHEMA);
  faults.push(...wrong);
  if (wrong.length > 0) return {};
  const keys = new Section(reading, [], document.value).section("keys");
  const records = Object.fromEntries(keys.keys().map((id) => [id, recordOf(keys.section(id))]));
  checkDistinct(keys, records);
  return records;
}

function recordOf(key: Section): KeyRecord {
  return {
    sha256: key.text("sha256"),
    subject: key.text("subject"),
    kind: key.choice<Kind>("kind"),
    groups: key.texts("groups"),
    scopes: key.texts("scopes"),
    audiences: key.keys().includes("audiences") ? key.texts("audiences") : undefined,
    expiresAt: key.text("expires") === "never" ? NEVER : key.instant("expires", "2027-06-01T00:00:00Z"),
    revoked: key.keys().includes("revoked"),
  };
}

/** A record that was copied with its digest would be found by another id, or by none. */
function checkDistinct(keys: Section, records: KeyRecords): void {
  const first = new Map<string, string>();
  for (const [id, { sha256 }] of Object.entries(records)) {
    const before = first.get(sha256);
    if (before === undefined) first.set(sha256, id);
    else keys.fault([id, "sha256"], `the digest of another key: this one is that of ${before}`);
  }
}
