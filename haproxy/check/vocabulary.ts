import { aclsOf, conditionOf, NotUnderstood } from "./acls.ts";
import { actionOf, conditionAt } from "./actions.ts";
import { type Finding, finding } from "./finding.ts";
import type { Model } from "./model.ts";
import { isProxy, type Section } from "./sections.ts";
import { lineText, type Statement, texts } from "./where.ts";

/** First words of lines of a proxy or a `defaults`, in some HAProxy from 2.6 to 3.5. */
const KNOWN: ReadonlySet<string> = new Set(
  [
    "acl backlog balance be-unpublished bind bind-process capture clitcpka-cnt clitcpka-idle clitcpka-intvl clitimeout",
    "compression contimeout cookie crt declare default default-server default_backend description disabled dispatch",
    "email-alert enabled errorfile errorfiles errorloc errorloc302 errorloc303 error-log-format external-check filter",
    "filter-sequence force-be-switch force-persist fullconn grace guid hash-balance-factor hash-preserve-affinity",
    "hash-type http-after-response http-check http-error http-request http-response http-reuse http-send-name-header id",
    "ignore-persist load-server-state-from-file log log-format log-format-sd log-steps log-tag max-keep-alive-queue",
    "max-session-srv-conns maxconn mode monitor monitor-net monitor-uri no option persist quic-initial rate-limit redirect",
    "retries retry-on server server-state-file-name server-template source srvtcpka-cnt srvtcpka-idle srvtcpka-intvl",
    "srvtimeout ssl-f-use stats stick stick-table tcp-check tcp-request tcp-response timeout tune.lua.bool-sample-conversion",
    "unique-id-format unique-id-header use-fcgi-app use-server use_backend",
  ].flatMap((line) => line.split(" ")),
);
const FILTERS: ReadonlySet<string> = new Set([
  "spoe",
  "cache",
  "compression",
  "comp-req",
  "comp-res",
  "trace",
  "bwlim-in",
  "bwlim-out",
  "fcgi-app",
]);

/** Lines whose meaning is not known: nothing that they could do is proven. */
export function unknownLines({ sections }: Model): readonly Finding[] {
  const proxies = sections.filter((section) => isProxy(section) || section.kind === "defaults");
  return proxies.flatMap(({ statements }) =>
    statements.flatMap((statement) => {
      const [keyword = "", second = ""] = statement.words.map(({ text }) => text);
      const known = KNOWN.has(keyword) && (keyword !== "filter" || FILTERS.has(second));
      if (known) return [];
      return [
        finding(
          "unproven",
          "unknown",
          statement,
          `"${lineText(statement)}" is not understood`,
          "see whether it can change what reaches a backend",
        ),
      ];
    }),
  );
}

/** How many lines of the proxies nobody here understands, also where nothing is protected. */
export function unreadLines(model: Model): number {
  const rules = model.sections
    .filter((section) => isProxy(section) || section.kind === "defaults")
    .flatMap((section) => section.statements.filter((statement) => !isRead(statement, section)));
  return unknownLines(model).length + rules.length;
}

const ACTION_AT: Readonly<Record<string, number>> = { "http-request": 1, use_backend: 0 };

function isRead(statement: Statement, section: Section): boolean {
  const words = texts(statement);
  const keyword = words[0] ?? "";
  const content = keyword === "tcp-request" && words[1] === "content";
  const at = content ? 2 : ACTION_AT[keyword];
  if (at === undefined) return true;
  const action = at === 0 ? { words: 1 } : actionOf(words[at] ?? "");
  if (action === undefined) return false;
  try {
    conditionOf(words.slice(conditionAt(statement, at + 1, action.words)), aclsOf(section), statement);
    return true;
  } catch (error) {
    if (error instanceof NotUnderstood) return false;
    throw error;
  }
}
