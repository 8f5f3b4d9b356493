import { writeSync } from "node:fs";
import { join } from "node:path";
import { AuditLog } from "../../agent/telemetry/audit/audit-log.ts";
import { DecisionLines } from "../../agent/telemetry/decision-log.ts";
import { observation } from "../support/telemetry.ts";

// Writes an audit log until it is killed. Standard output has a line for each turn, and each checkpoint that is told.
const [folder = ""] = process.argv.slice(2);
const files = { file: join(folder, "audit.log"), key: join(folder, "audit.key") };
const how = { sync: "never", onFull: "gap", pseudonyms: undefined } as const;
const config = { name: "ingress", ...files, ...how, checkpoint: 10, maxSize: 200_000 };
const say = (what: unknown) => writeSync(1, `${JSON.stringify(what)}\n`);

say("opens");
const log = new AuditLog(config, 0, new DecisionLines(), Date.now, {
  checkpoint: (note) => say({ note }),
  full: () => {},
  room: () => {},
});
let asked = 0;
setInterval(() => {
  for (let n = 0; n < 20; n++) log.decided(observation({ requestId: (asked++).toString(16).padStart(32, "0") }));
  say("turn");
}, 1);
