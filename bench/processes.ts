import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type NetConnectOpts } from "node:net";

/** The processes of a benchmark: whatever happens, they end with it. */
export class Processes {
  readonly #children = new Set<ChildProcess>();

  /** Starts a program. Its standard error is kept, to be told when it ends before its time. */
  start(command: string, args: readonly string[], options: SpawnOptions = {}): Running {
    const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"], ...options });
    const running = new Running(child, [command, ...args].join(" "));
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return running;
  }

  end(): void {
    for (const child of this.#children) child.kill("SIGKILL");
  }
}

/** One started program. */
export class Running {
  readonly #child: ChildProcess;
  readonly #line: string;
  #errors = "";

  constructor(child: ChildProcess, line: string) {
    this.#child = child;
    this.#line = line;
    child.on("error", (error) => {
      this.#errors += error.message;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#errors = (this.#errors + text).slice(-2000);
    });
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error(`cannot start ${this.#line}`);
    return pid;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Waits until it has ended, however long that takes. @returns its exit code, or the signal that ended it */
  async ended(): Promise<number | NodeJS.Signals | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "exit");
    return this.#child.exitCode ?? this.#child.signalCode;
  }

  /**
   * Waits until something answers.
   *
   * @throws Error with what the program said, when it ends first or two minutes have passed
   */
  async until(answers: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + 120_000;
    while (!(await answers())) {
      const over = this.#child.exitCode !== null || this.#child.signalCode !== null;
      if (over || performance.now() > deadline) throw new Error(`${this.#line} is not ready:\n${this.#errors}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** Whether somebody accepts connections at the address. */
export function accepts(address: NetConnectOpts): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(address);
    probe.once("error", () => resolve(false));
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
  });
}

/** A port of 127.0.0.1 that nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
