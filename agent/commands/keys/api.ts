import { digestOf, makeKey } from "../../identity/api-key/key.ts";
import { EXIT } from "../../processes/exit.ts";
import {
  CommandError,
  type Context,
  instantOf,
  jsonText,
  type Options,
  requiredOption,
  UsageError,
} from "../command.ts";
import { changeKeys, readKeys, type WrittenKey } from "./key-file.ts";
import { placeOf } from "./places.ts";

/** Makes a key, and writes its record before it shows it: a key that is shown is one that counts. */
export function createKey(id: string | undefined, options: Options, context: Context): number {
  if (id !== undefined) throw new UsageError(`one argument too many: ${id}`);
  const record = recordOf(options, context.clock());
  const { issuer, prefix, file } = placeOf(options, context);
  const made = makeKey(prefix);
  changeKeys(file, (document, keys) => {
    // Where none has been written, the mapping stands in braces.
    if (Object.keys(keys).length === 0) document.set("keys", document.createNode({}));
    document.setIn(["keys", made.id], document.createNode({ sha256: digestOf(made.text), ...record }));
  });
  context.err(`key ${made.id} of ${issuer} for ${record.subject}, ${endText(record.expires)}; it is shown this once\n`);
  context.out(`${made.text}\n`);
  return EXIT.fine;
}

/** Lists the keys with what each is good for now. */
export function listKeys(id: string | undefined, options: Options, context: Context): number {
  if (id !== undefined) throw new UsageError(`one argument too many: ${id}`);
  const { file } = placeOf(options, context);
  const rows = Object.entries(readKeys(file)).map(([key, { sha256: _, ...told }]) => {
    return { id: key, state: stateOf(told, context.clock()), ...told };
  });
  context.out(options.json === true ? jsonText(rows) : tableOf(rows));
  return EXIT.fine;
}

/** Marks a key as revoked; once more changes nothing. */
export function revokeKey(id: string | undefined, options: Options, context: Context): number {
  if (id === undefined)
    throw new UsageError("the id of a key is missing: it stands behind the prefix, 8 letters and digits");
  const { issuer, prefix, file } = placeOf(options, context);
  if (id.startsWith(prefix))
    throw new UsageError("the id of the key, and not the key: 8 letters and digits behind its prefix");
  const known = readKeys(file);
  const key = Object.hasOwn(known, id) ? known[id] : undefined;
  if (key === undefined) throw new CommandError(`${file} has no key ${JSON.stringify(id)}`, EXIT.bad);
  if (key.revoked !== undefined) {
    context.err(`key ${id} of ${issuer} was revoked at ${key.revoked} already\n`);
    return EXIT.fine;
  }
  changeKeys(file, (document) => document.setIn(["keys", id, "revoked"], timeText(context.clock())));
  context.err(`key ${id} of ${issuer} for ${key.subject} is revoked\n`);
  return EXIT.fine;
}

function recordOf(options: Options, now: number): Omit<WrittenKey, "sha256"> {
  const kind = requiredOption(options, "kind");
  if (!["person", "workload", "agent"].includes(kind)) throw new UsageError("--kind is person, workload or agent");
  const list = (name: string) => (Array.isArray(options[name]) ? options[name].map(String) : undefined);
  const lists = { groups: list("group"), scopes: list("scope"), audiences: list("audience") };
  return {
    subject: requiredOption(options, "subject"),
    kind,
    ...Object.fromEntries(Object.entries(lists).filter(([, members]) => members !== undefined)),
    created: timeText(now),
    expires: expiryOf(requiredOption(options, "expires"), now),
  };
}

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, d: 86_400_000 };

function expiryOf(text: string, now: number): string {
  if (text === "never") return text;
  const [, count = "", unit = ""] = /^([1-9]\d{0,4})([hd])$/.exec(text) ?? [];
  const time = unit === "" ? instantOf(text) : now + Number(count) * (UNITS[unit] ?? 0);
  if (time === undefined) throw new UsageError("--expires is 90d, 12h, 2027-06-01, 2027-06-01T12:00:00Z, or never");
  if (time <= now) throw new UsageError(`--expires ${text} is past`);
  return timeText(time);
}

/** In whole seconds, as the file has it. */
function timeText(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19)}Z`;
}

function endText(expires: string): string {
  return expires === "never" ? "which never expires" : `which expires at ${expires}`;
}

function stateOf({ revoked, expires }: Pick<WrittenKey, "revoked" | "expires">, now: number): string {
  if (revoked !== undefined) return "revoked";
  return expires !== "never" && Date.parse(expires) <= now ? "expired" : "good";
}

function tableOf(rows: readonly Readonly<{ id: string; state: string } & Omit<WrittenKey, "sha256">>[]): string {
  const cells = rows.map(({ id, state, subject, kind, expires }) => [id, state, expires, kind, subject]);
  const all = [["ID", "STATE", "EXPIRES", "KIND", "SUBJECT"], ...cells];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? [];
  return all
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}
