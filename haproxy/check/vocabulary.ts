import { type Finding, finding } from "./finding.ts";
import type { Model } from "./model.ts";
import { isProxy } from "./sections.ts";
import { lineText } from "./where.ts";

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
const FILTERS: ReadonlySet<string> = new Set(["spoe", "cache", "compression", "comp-req", "comp-res", "trace", "bwlim-in", "bwlim-out", "fcgi-app"]);

/** Lines whose meaning is not known: nothing that they could do is proven. */
export function unknownLines({ sections }: Model): readonly Finding[] {
  const proxies = sections.filter((section) => isProxy(section) || section.kind === "defaults");
  return proxies.flatMap(({ statements }) =>
    statements.flatMap((statement) => {
      const [keyword = "", second = ""] = statement.words.map(({ text }) => text);
      const known = KNOWN.has(keyword) && (keyword !== "filter" || FILTERS.has(second));
      if (known) return [];
      return [finding("unproven", "unknown", statement, `"${lineText(statement)}" is not understood`, "see whether it can change what reaches a backend")];
    }),
  );
}
