import { isMapping } from "../../../policies/claim-path.ts";
import { hasPlaceholder } from "../../../policies/signs.ts";
import { isLoopback } from "../../http/fetch.ts";
import type { SessionsConfig } from "../config.ts";
import { parseSealingRing } from "../files/sealing-ring.ts";
import { namedText } from "../named-file.ts";
import { type Reading, Section } from "../section.ts";
import { readKeys } from "./ring.ts";
import { readStore, warnOfPlainText } from "./store.ts";

const ORIGIN = "what browsers have before the path, such as https://app.example.com; http is for loopback only";

/** Reads `sessions`, which every issuer with `login` is told. @returns undefined where nothing says it */
export function readSessions(reading: Reading): SessionsConfig | undefined {
  const root = new Section(reading, [], reading.document.value);
  if (!isMapping(root.value("sessions"))) return undefined;
  const section = root.section("sessions");
  const [idle, lifetime] = [section.milliseconds("idle"), section.milliseconds("lifetime")];
  if (idle > lifetime && section.keys().includes("idle")) section.fault(["idle"], "at most `lifetime`");
  if (!root.section("listen").keys().includes("web")) {
    section.fault([], "`listen: { web: 127.0.0.1:9902 }` beside it: there people log in, through HAProxy");
  }
  const store = readStore(section);
  if (store !== undefined) warnOfPlainText(section, store);
  return {
    origins: readOrigins(section),
    cookie: section.text("cookie"),
    ...readKeys(section, parseSealingRing, "countersign keys rotate FILE --algorithm A256GCM"),
    idle: Math.min(idle, lifetime),
    lifetime,
    store,
    style: namedText(section, "stylesheet", "a CSS file", LARGEST_STYLE),
    largest: root.section("limits").bytes("token"),
  };
}

/** Browsers keep a cookie with `__Host-` on https alone, and on this machine. */
function readOrigins(section: Section): readonly string[] {
  const origins = section.texts("origins");
  for (const [index, text] of origins.entries()) {
    const url = URL.parse(text);
    const secure = url?.protocol === "https:" || (url?.protocol === "http:" && isLoopback(url.hostname));
    if (url === null || url.origin !== text || !secure || hasPlaceholder(text))
      section.fault(["origins", index], ORIGIN);
  }
  return origins;
}

/** Bytes of a stylesheet at most: it goes to every browser. */
const LARGEST_STYLE = 65_536;
