import type { AuthorizeRequest } from "./request.ts";

/** Who asks: one connection from HAProxy, and what it can be told. */
export interface Asker {
  /** Bytes that an ACK stays below, its length prefix counted. */
  readonly limit: number;
  /** The same or less for the next ACK, by what leaves together with it. */
  readonly left: number;
  /** Whether nothing can be answered any more. */
  readonly gone: boolean;
  /** Whether one more may wait: asked before any work is begun for it. */
  readonly admits: () => boolean;
  readonly waiting: Waiting;
}

/** The requests of all connections that wait, for a first verification or a signature. */
export class Waiting {
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /**
   * Waits for work, until the deadline: it may take its time, its request may not. The work goes on and answers the
   * next one, unless it is in the way of what can still be answered.
   *
   * @param late what it comes to at the deadline
   * @param deadline milliseconds
   * @throws what the work has thrown
   */
  wait<Result>(
    work: Promise<Result>,
    late: Result,
    request: AuthorizeRequest,
    deadline: number,
    asker: Pick<Asker, "gone">,
  ): Promise<Result> {
    let over = false;
    this.#count++;
    request.wanted = () => !over && !asker.gone;
    return new Promise((resolve, reject) => {
      const end = () => {
        if (!over) this.#count--;
        over = true;
        clearTimeout(timer);
      };
      const timer = setTimeout(() => {
        end();
        resolve(late);
      }, deadline);
      work.then(
        (result) => {
          end();
          resolve(result);
        },
        (thrown) => {
          end();
          reject(thrown);
        },
      );
    });
  }
}
