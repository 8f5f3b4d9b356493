import { type Dropped, isDropped, type Reading, type SyntaxFault } from "./reader.ts";
import { at, type Statement, texts } from "./where.ts";

/** A section: its header and what stands below it. */
export interface Section {
  readonly kind: string;
  /** Empty where it has none. */
  readonly name: string;
  /** Undefined for what stands above the first header. */
  readonly head: Statement;
  readonly statements: readonly Statement[];
  /** Lines that an `.if` keeps from it. */
  readonly dropped: readonly Dropped[];
  /** The `defaults` that it inherits from. */
  readonly defaults: Section | undefined;
}

/** Every section that some HAProxy from 2.6 to 3.5 has. */
const SECTION_WORDS: ReadonlySet<string> = new Set([
  "global",
  "defaults",
  "frontend",
  "backend",
  "listen",
  "userlist",
  "mailers",
  "namespace_list",
  "peers",
  "resolvers",
  "cache",
  "http-errors",
  "ring",
  "log-forward",
  "fcgi-app",
  "program",
  "crt-store",
  "acme",
  "log-profile",
  "traces",
  "healthcheck",
]);
const PROXIES: ReadonlySet<string> = new Set(["frontend", "backend", "listen"]);

export function isProxy({ kind }: Section): boolean {
  return PROXIES.has(kind);
}

interface Growing extends Section {
  readonly statements: Statement[];
  readonly dropped: Dropped[];
}

/**
 * Groups the lines into sections. A proxy or a `defaults` inherits from the one that its `from` names; a proxy without
 * `from` from the last `defaults` above it, in whatever file.
 */
export function sectionsOf({ lines }: Reading, faults: SyntaxFault[]): readonly Section[] {
  const sections: Growing[] = [];
  for (const line of lines) {
    const current = sections.at(-1);
    if (isDropped(line)) {
      if (current !== undefined) current.dropped.push(line);
      continue;
    }
    const keyword = line.words[0]?.text ?? "";
    if (SECTION_WORDS.has(keyword)) sections.push(opened(line, sections, faults));
    else if (/^\[.*\]$/.test(keyword)) continue;
    else if (current === undefined)
      faults.push({
        ...at(line, 0),
        found: `"${keyword}" stands in no section`,
        right: "a section's name comes first",
      });
    else current.statements.push(line);
  }
  return sections;
}

function opened(head: Statement, before: readonly Section[], faults: SyntaxFault[]): Growing {
  const [kind = "", ...rest] = texts(head);
  const named = rest[0] !== "from" || kind !== "defaults" ? rest[0] : undefined;
  const from = rest[named === undefined ? 0 : 1] === "from" ? rest[named === undefined ? 1 : 2] : undefined;
  const known = before.filter((section) => section.kind === "defaults");
  const found = from === undefined ? undefined : known.findLast(({ name }) => name === from);
  if (from !== undefined && found === undefined)
    faults.push({
      ...at(head, 0),
      found: `no defaults "${from}" above`,
      right: "a defaults must stand above what inherits from it",
    });
  const defaults = from !== undefined ? found : PROXIES.has(kind) ? known.at(-1) : undefined;
  return { kind, name: named ?? "", head, statements: [], dropped: [], defaults };
}
