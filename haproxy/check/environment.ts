import { type Finding, finding } from "./finding.ts";
import type { Model } from "./model.ts";
import { ADDRESS_AT } from "./proxies.ts";
import type { Word } from "./tokenizer.ts";
import { isUnknown, lineText, type Statement } from "./where.ts";

/** First words of lines on which a word can decide who is asked, who comes in, or how strictly a request is read. */
const DECIDING: ReadonlySet<string> = new Set([...Object.keys(ADDRESS_AT), "default-server", "option", "stats"]);
/** Options whose value decides nothing of that, whatever it is. */
const HARMLESS: ReadonlySet<string> = new Set(
  [
    "addr agent-addr agent-inter agent-port alpn auth backlog check-sni ciphers ciphersuites cookie crl-file crt crt-list",
    "curves downinter fall fastinter gid group id interface inter maxconn maxqueue maxreuse minconn nice npn observe port",
    "process proto realm refresh rise slowstart ssl-max-ver ssl-min-ver tcp-ut thread timeout uid uri user verifyhost weight",
  ].flatMap((line) => line.split(" ")),
);
/** Options whose value is judged like an address: one that nobody knows proves nothing. */
const JUDGED: ReadonlySet<string> = new Set(["ca-file", "sni", "socks4"]);
/** How servers are asked whether they are there. */
const CHECKS = /(?:chk|-check)$/;

/**
 * Words that HAProxy's environment decides. An address that nobody knows is judged as any; a default only stands for what
 * may be another, and an option that nobody knows may be every one.
 */
export function environmentFindings({ sections }: Model): readonly Finding[] {
  return sections
    .flatMap(({ statements }) => statements)
    .filter(({ words }) => DECIDING.has(words[0]?.text ?? ""))
    .flatMap((statement) => {
      const open = statement.words.find((word, index) => isOpen(word, index, statement));
      return open === undefined ? [] : [openFinding(statement, open)];
    });
}

function isOpen({ text, guessed }: Word, index: number, { words }: Statement): boolean {
  const [first = "", before = ""] = [words[0]?.text, words[index - 1]?.text];
  const address = ADDRESS_AT[first] ?? 0;
  if (index === 0 || index < address || HARMLESS.has(before)) return false;
  if (first === "option" && index > 1 && CHECKS.test(words[1]?.text ?? "")) return false;
  const judged = index === address || JUDGED.has(before);
  return guessed !== undefined || (!judged && isUnknown(text));
}

function openFinding(statement: Statement, { guessed }: Word): Finding {
  const by = guessed === undefined ? "a variable" : guessed;
  const found = `"${lineText(statement)}" is another line where HAProxy's environment sets ${by}`;
  return finding("unproven", "unknown", statement, found, `--define ${guessed ?? "NAME"}=VALUE, as HAProxy has it`);
}
