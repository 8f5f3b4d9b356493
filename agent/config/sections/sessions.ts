import { dirname, resolve } from "node:path";
import { isMapping } from "../../../policies/claim-path.ts";
import { isLoopback } from "../../http/fetch.ts";
import type { SessionsConfig } from "../config.ts";
import { LARGEST_RING } from "../files/key-ring.ts";
import { readText } from "../files/read-file.ts";
import { parseSealingRing, type SealingKey } from "../files/sealing-ring.ts";
import { namedText } from "../named-file.ts";
import { type Reading, Section } from "../section.ts";

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
  const keys = resolve(dirname(reading.document.file), section.text("keys"));
  return {
    origins: readOrigins(section),
    cookie: section.text("cookie"),
    keys,
    ring: section.text("keys") === "" ? [] : readRing(keys, section),
    idle: Math.min(idle, lifetime),
    lifetime,
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
    if (url === null || url.origin !== text || !secure) section.fault(["origins", index], ORIGIN);
  }
  return origins;
}

/** Bytes of a stylesheet at most: it goes to every browser. */
const LARGEST_STYLE = 65_536;

function readRing(file: string, section: Section): readonly SealingKey[] {
  section.reading.files.push(file);
  const read = readText(file, LARGEST_RING);
  const ring = "text" in read ? parseSealingRing(read.text) : { problem: `it cannot be read: ${read.problem}` };
  if (!("problem" in ring)) return ring;
  const right = "the file of a key ring; `countersign keys rotate FILE --algorithm A256GCM` makes one";
  section.fault(["keys"], right, `${section.found(["keys"])}: ${ring.problem}`);
  return [];
}
