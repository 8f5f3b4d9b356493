import { hostname } from "node:os";
import { dirname, resolve } from "node:path";
import type { Section } from "../section.ts";

/** `audit` of the configuration: decisions in an order that nobody can change unseen. */
export interface AuditConfig {
  /** Whose log it is, in every checkpoint. */
  readonly name: string;
  /** Absolute; the segments' names begin with it. */
  readonly file: string;
  /** Absolute; the private key that vouches for the next start's, which then takes its place. */
  readonly key: string;
  /** Milliseconds between two checkpoints. */
  readonly checkpoint: number;
  /** Whether each checkpoint is kept against a loss of power. */
  readonly sync: "never" | "checkpoint";
  /** When no more can be kept: refuse, or say later how many are missing. */
  readonly onFull: "deny" | "gap";
  /** Bytes of a segment. */
  readonly maxSize: number;
  /** The secret that subjects are made unrecognizable with. */
  readonly pseudonyms: string | undefined;
}

/** Characters. */
const SHORTEST_SECRET = 32;

/** @param file the configuration's */
export function readAudit(root: Section, file: string): AuditConfig | undefined {
  if (!root.keys().includes("audit")) return undefined;
  const audit = root.section("audit");
  const pseudonyms = audit.optionalText("pseudonyms");
  if (pseudonyms !== undefined && pseudonyms.length < SHORTEST_SECRET) {
    const found = `a secret of ${pseudonyms.length} characters`;
    audit.fault(["pseudonyms"], `at least ${SHORTEST_SECRET}, such as \`openssl rand -hex 32\` gives`, found);
  }
  return {
    name: audit.optionalText("name") ?? hostname(),
    file: resolve(dirname(file), audit.text("file")),
    key: resolve(dirname(file), audit.text("key")),
    checkpoint: audit.milliseconds("checkpoint"),
    sync: audit.choice<AuditConfig["sync"]>("sync"),
    onFull: audit.choice<AuditConfig["onFull"]>("on_full"),
    maxSize: audit.bytes("max_size"),
    pseudonyms,
  };
}
