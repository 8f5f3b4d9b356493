const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const;

/** A signal that `serve` knows. Left alone, each would end the process, but SIGUSR1, which opens Node's debugger. */
export type Signal = (typeof SIGNALS)[number];

/**
 * What signals do. They are taken before anything else is loaded; one that comes before it is said what it does is
 * kept until then. SIGTERM and SIGINT end a process that has not yet begun.
 */
export class Signals {
  readonly #acts = new Map<Signal, (signal: Signal) => void>();
  readonly #held = new Set<Signal>();

  /** Takes the signals of this process from now on. */
  take(): void {
    this.on(["SIGTERM", "SIGINT"], () => process.exit(0));
    for (const signal of SIGNALS) process.on(signal, () => this.#came(signal));
  }

  /** Says what signals do from now on. Those that were kept do it now, each once. */
  on(signals: readonly Signal[], act: (signal: Signal) => void): void {
    for (const signal of signals) {
      this.#acts.set(signal, act);
      if (this.#held.delete(signal)) act(signal);
    }
  }

  /** None does anything from now on. */
  ignore(): void {
    this.on(SIGNALS, () => {});
  }

  #came(signal: Signal): void {
    const act = this.#acts.get(signal);
    if (act === undefined) this.#held.add(signal);
    else act(signal);
  }
}
