import { addressesOf } from "./addresses.ts";
import { type Finding, finding } from "./finding.ts";
import type { Model } from "./model.ts";
import { lineText, texts } from "./where.ts";

/** Sockets by which more people than HAProxy's own account can change servers, maps and variables while it runs. */
export function runtimeSockets({ sections }: Model): readonly Finding[] {
  const lines = sections.filter(({ kind }) => kind === "global").flatMap(({ statements }) => statements);
  return lines.flatMap((statement) => {
    const words = texts(statement);
    const value = (word: string) => (words.includes(word) ? words[words.indexOf(word) + 1] : undefined);
    if (words[0] !== "stats" || words[1] !== "socket" || value("level") !== "admin") return [];
    const [address] = addressesOf(words[2] ?? "");
    const own = address?.kind === "path" && !/[2367]$/.test(value("mode") ?? "");
    if (own || address?.kind === "other") return [];
    const found = `"${lineText(statement)}" lets others than HAProxy's account change servers and maps while it runs`;
    return [finding("unproven", "runtime", statement, found, "a unix socket with mode 660, or level operator")];
  });
}
