import { eventOf } from "../../../records/event.ts";
import { EXIT } from "../../processes/exit.ts";
import { CommandError } from "../command.ts";
import { holding, Lines } from "../logs/lines.ts";
import { filesOf, readWhole } from "../logs/log-files.ts";

/** Requests that HAProxy refused by itself, and whose ids are kept. */
const MOST_OWN = 2_000_000;

/** What HAProxy's log has of a time, held against the agent's. */
export interface Reconciliation {
  /** Lines of requests. */
  readonly requests: number;
  /** With the agent's answer. */
  readonly judged: number;
  /** Refused by HAProxy itself, by its reasons. */
  readonly own: Readonly<Record<string, number>>;
  /** Of those: decided all the same, and the answer came too late, or to nobody. */
  readonly late: number;
  /** Decisions, those that are missing among them, that HAProxy has no line of; below 0 the other way round. */
  readonly unexplained: number;
}

/** HAProxy's logs of a time, read before the decisions. */
export class HaproxyLog {
  #requests = 0;
  #judged = 0;
  #late = 0;
  readonly #own = new Map<string, number>();
  readonly #ids = new Set<string>();

  /** @param within whether a time, in milliseconds since the epoch, is of it @throws CommandError */
  static async read(logs: readonly string[], within: (at: number) => boolean): Promise<HaproxyLog> {
    const log = new HaproxyLog();
    for (const path of logs) {
      for (const file of await filesOf(path)) {
        const lines = new Lines([holding("request_id")], (line) => log.#add(line, within));
        await readWhole(file, (chunk) => lines.push(chunk));
        lines.end();
      }
    }
    return log;
  }

  /** One of the exported decisions. */
  decided(id: string): void {
    if (this.#ids.has(id)) this.#late++;
  }

  /** @param decisions exported, and missing by the agent's own word */
  against(decisions: number, lost: number): Reconciliation {
    const [requests, judged, late] = [this.#requests, this.#judged, this.#late];
    const unexplained = decisions + lost - late - judged;
    return { requests, judged, own: Object.fromEntries(this.#own), late, unexplained };
  }

  #add(line: string, within: (at: number) => boolean): void {
    const event = eventOf(line);
    if (event?.log !== "haproxy" || !within(event.at)) return;
    const { revision, reason, request_id } = event.record;
    this.#requests++;
    if (revision !== "") {
      this.#judged++;
      return;
    }
    const why = reason === "" ? "none" : reason;
    this.#own.set(why, (this.#own.get(why) ?? 0) + 1);
    if (this.#ids.size >= MOST_OWN)
      throw new CommandError(
        `more than ${MOST_OWN} requests that HAProxy refused by itself: narrow it by --from and --to`,
        EXIT.bad,
      );
    if (request_id !== "") this.#ids.add(request_id);
  }
}
