import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { privateKeyOf, rawKey } from "../../../records/audit/note.ts";
import { EXIT } from "../../processes/exit.ts";
import { keyFileOf, logFileOf, processesOf } from "../../telemetry/audit/audit-log.ts";
import { readText, segmentsOf } from "../../telemetry/audit/segments.ts";
import { CommandError, type Context, jsonText, loadOrFail, type Options, UsageError } from "../command.ts";

/** Makes the first key of each process's log. One that is there stays, and is told again while its log has not begun. */
export async function init(rest: readonly string[], options: Options, context: Context): Promise<number> {
  if (rest.length > 0) throw new UsageError(`one argument too many: ${rest[0]}`);
  const { config } = await loadOrFail(options, context);
  const { audit, workers } = config;
  if (audit === undefined) throw new CommandError("the configuration has no `audit`", EXIT.configuration);
  const keys = processesOf(workers).flatMap((process) => {
    const file = keyFileOf(audit, process);
    if (segmentsOf(logFileOf(audit, process)).length > 0) {
      if (options.once === true) return [];
      throw new CommandError(
        `${logFileOf(audit, process)} has begun: another key would vouch for nothing of it`,
        EXIT.bad,
      );
    }
    return [{ log: `${audit.name}/${process}`, file, key: made(file) }];
  });
  context.out(options.json === true ? jsonText(keys) : keys.map(({ log, key }) => `${log} ${key}\n`).join(""));
  return EXIT.fine;
}

/** The public half, raw in base64. */
function made(file: string): string {
  const { privateKey } = generateKeyPairSync("ed25519");
  try {
    writeFileSync(file, privateKey.export({ type: "pkcs8", format: "pem" }), { flag: "wx", mode: 0o600 });
    return rawKey(createPublicKey(privateKey)).toString("base64");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST"))
      throw new CommandError(`${file}: cannot be written: ${String(error)}`, EXIT.cannotCreate);
    return rawKey(createPublicKey(privateKeyOf(readText(file)))).toString("base64");
  }
}
