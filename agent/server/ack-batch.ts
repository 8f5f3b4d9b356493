import { AckWriter, encodeSetVar } from "../../protocol/encode.ts";
import { encodeValue } from "../../protocol/value.ts";
import { writeActions } from "../actions.ts";
import { type Answer, refuse } from "../authorize.ts";
import { FRAMES_IN_FLIGHT } from "./pipelining.ts";

/** One answer as it was written. */
export interface Answered {
  readonly answer: Answer;
  /** Offset of its ACK in the writer. */
  readonly start: number;
  /** performance.now() when the NOTIFY was read */
  readonly started: number;
  readonly cached: boolean;
}

/** A refusal in the fewest bytes: without the id HAProxy does not take it for its request's, and refuses by itself. */
const BARE_DENY = Buffer.concat([
  encodeSetVar("transaction", "verdict"),
  encodeValue({ type: "string", value: "deny" }),
]);

/**
 * The ACKs of one turn of the event loop, which leave in one write.
 *
 * Of those only the newest 20 are handed out: HAProxy keeps no more in flight, so after a stall the older ones have
 * timed out there, and too many at once wedge it (pipelining.ts).
 */
export class AckBatch {
  /** An ACK has less bytes than this, its length prefix counted; whatever was foreseen, the connection cannot wedge. */
  limit = Number.POSITIVE_INFINITY;
  readonly #writer = new AckWriter();
  #answered: Answered[] = [];

  get empty(): boolean {
    return this.#answered.length === 0;
  }

  /** Writes one ACK. The ids are the NOTIFY's, as they came. @param started performance.now() when it was read */
  add(bytes: Uint8Array, idsStart: number, idsEnd: number, answer: Answer, started: number, cached: boolean): void {
    const start = this.#writer.size;
    const written = this.#write(bytes, idsStart, idsEnd, answer);
    this.#answered.push({ answer: written, start, started, cached });
  }

  /** What goes to the socket, whose answers those are, and how many older ones were left out. */
  take(): { readonly bytes: Buffer; readonly answered: readonly Answered[]; readonly late: number } {
    const all = this.#answered;
    this.#answered = [];
    const late = Math.max(0, all.length - FRAMES_IN_FLIGHT);
    return { bytes: this.#writer.take(all[late]?.start), answered: late === 0 ? all : all.slice(late), late };
  }

  /** An answer that HAProxy would not read, or that cannot be written, becomes a refusal. */
  #write(bytes: Uint8Array, idsStart: number, idsEnd: number, answer: Answer): Answer {
    const writer = this.#writer;
    try {
      writer.begin(bytes, idsStart, idsEnd);
      const written = writeActions(writer, answer);
      if (writer.finish() < this.limit) return written;
      return this.#rewrite(bytes, idsStart, idsEnd, refuse(answer.request, answer.snapshot, "header-too-long"));
    } catch (thrown) {
      const refused = { ...refuse(answer.request, answer.snapshot, "agent-error"), thrown };
      return this.#rewrite(bytes, idsStart, idsEnd, refused);
    }
  }

  #rewrite(bytes: Uint8Array, idsStart: number, idsEnd: number, answer: Answer): Answer {
    const writer = this.#writer;
    writer.abandon();
    writer.begin(bytes, idsStart, idsEnd);
    const written = writeActions(writer, answer);
    if (writer.finish() < this.limit) return written;
    writer.abandon();
    writer.begin(bytes, idsStart, idsEnd);
    writer.append(BARE_DENY);
    writer.finish();
    return answer;
  }
}
