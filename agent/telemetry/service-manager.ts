import { spawn } from "node:child_process";

/** Milliseconds that one message may take. */
const LIMIT = 5_000;
/** Messages that wait for one before: of what came meanwhile only the last reload, and how it ended, says anything. */
const MOST_WAITING = 2;

/**
 * What systemd, or whatever has set NOTIFY_SOCKET, is told of the agent: sd_notify(3). Its socket takes datagrams, which
 * Node cannot send to a unix socket, so `systemd-notify` does; the unit needs `NotifyAccess=all`.
 */
export class ServiceManager {
  readonly #environment: Readonly<Record<string, string | undefined>>;
  readonly #failed: (error: unknown) => void;
  /** One message after the other: their order is what they mean. */
  #last: Promise<void> = Promise.resolve();
  readonly #waiting: (readonly string[])[] = [];
  #stopping = false;

  /** @param failed told where a message could not be sent */
  constructor(environment: Readonly<Record<string, string | undefined>>, failed: (error: unknown) => void) {
    this.#environment = environment;
    this.#failed = failed;
  }

  /** It serves, by this revision or after a reload that changed nothing. @param status one line */
  ready(status: string): void {
    this.#tell("READY=1", `STATUS=${status}`);
  }

  /** A load has begun; `ready` follows, whatever it comes to. */
  reloading(): void {
    this.#tell("RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  /** It ends. Resolves once that was told; it is told once. */
  async stopping(): Promise<void> {
    if (!this.#stopping) this.#tell("STOPPING=1");
    this.#stopping = true;
    await this.#last;
  }

  #tell(...assignments: readonly string[]): void {
    const { NOTIFY_SOCKET, PATH } = this.#environment;
    if (NOTIFY_SOCKET === undefined || NOTIFY_SOCKET === "" || this.#stopping) return;
    // Nothing else of the environment: it may hold secrets.
    const env = { NOTIFY_SOCKET, ...(PATH === undefined ? {} : { PATH }) };
    this.#waiting.push(assignments);
    if (this.#waiting.length <= MOST_WAITING) {
      this.#last = this.#last.then(() => sent(this.#waiting.shift() ?? [], env)).catch(this.#failed);
    } else this.#waiting.shift();
  }
}

function sent(assignments: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn("systemd-notify", assignments, { env, stdio: "ignore", timeout: LIMIT });
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`systemd-notify ended with ${signal ?? `code ${code}`}`));
    });
  });
}
