/** What a server waits for, and how much it keeps meanwhile. */
export interface Patience {
  /** Milliseconds that a new connection has for its HELLO. */
  readonly hello: number;
  /** Milliseconds that a frame has from its first byte to its last. HAProxy sends one in one go, and gives up its request after half a second. */
  readonly frame: number;
  /** Bytes that frames which are not whole yet may take together. */
  readonly held: number;
}

/** While a frame may take its time so often is looked at it: not once alone, for the agent itself may have stood still. */
const SWEEPS = 10;

export const PATIENCE: Patience = { hello: 10_000, frame: 10_000, held: 32 * 1024 * 1024 };

/** A connection whose last frame is not whole yet. */
export interface Holder {
  /** Ends it, and lets go of what it holds. */
  giveUp(why: "FRAME_TIMEOUT" | "FRAMES_TOO_MANY"): void;
}

interface Half {
  /** Its number among the connection's half frames: each has a time of its own. */
  readonly frame: number;
  /** Number of the sweep before it was begun. */
  readonly since: number;
  bytes: number;
}

/** The frames of all connections that are not whole yet, the one that was begun first before the others. */
export class HalfSent {
  readonly #patience: Patience;
  readonly #halves = new Map<Holder, Half>();
  #bytes = 0;
  #sweeps = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(patience: Patience) {
    this.#patience = patience;
    this.#timer = setInterval(() => this.#sweep(), patience.frame / SWEEPS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /**
   * Takes note of a connection's half frame after a read, and makes room where all of them take too much.
   *
   * @param frame its number among the connection's half frames
   * @param bytes that it takes; 0 where there is none
   */
  note(holder: Holder, frame: number, bytes: number): void {
    const before = this.#halves.get(holder);
    this.#bytes += bytes - (before?.bytes ?? 0);
    if (bytes > 0 && before?.frame === frame) before.bytes = bytes;
    else {
      this.#halves.delete(holder);
      if (bytes > 0) this.#halves.set(holder, { frame, since: this.#sweeps, bytes });
    }
    while (this.#bytes > this.#patience.held) this.#giveUpFirst("FRAMES_TOO_MANY");
  }

  /** Gives up those that were begun too long ago. */
  #sweep(): void {
    this.#sweeps++;
    for (const { since } of this.#halves.values()) {
      if (this.#sweeps - since <= SWEEPS) return;
      this.#giveUpFirst("FRAME_TIMEOUT");
    }
  }

  #giveUpFirst(why: Parameters<Holder["giveUp"]>[0]): void {
    const [first] = this.#halves;
    if (first === undefined) return;
    const [holder, { bytes }] = first;
    this.#halves.delete(holder);
    this.#bytes -= bytes;
    holder.giveUp(why);
  }
}
