import { type CheckedSet, type Loaded, load } from "../loading/load.ts";
import { endOnBug } from "../processes/crash.ts";
import { EXIT } from "../processes/exit.ts";
import { Service } from "../processes/service.ts";
import type { Signals } from "../processes/signals.ts";
import { Single } from "../processes/single.ts";
import {
  CONFIG_OPTION,
  type Command,
  CommandError,
  type Context,
  configOf,
  faultsText,
  type Options,
} from "./command.ts";

/** The agent, until a signal ends it. */
export const SERVE: Command = {
  usage: "serve [--config FILE]",
  summary: "answer HAProxy: the agent itself",
  help: `
SIGHUP, or a change of any file that it read, loads configuration and policies anew; a broken set changes nothing.
SIGTERM and SIGINT answer on while HAProxy leaves (its health checks fail from then on), then end; a second one ends
at once.
`,
  example: "countersign serve --config /etc/countersign/countersign.yaml",
  options: CONFIG_OPTION,
  positionals: [0, 0],
  run: serve,
};

async function serve(_positionals: readonly string[], options: Options, context: Context): Promise<number> {
  // The sockets' files are nobody else's until they have their mode (net/listen.ts); others are not written.
  process.umask(0o077);
  if (await isWorker()) {
    const { work } = await import("../processes/workers/worker.ts");
    return await work(context.clock, context.signals);
  }
  const file = configOf(options, context);
  const begun = context.clock();
  const outcome = await load(file, context);
  if (outcome.loaded === undefined) throw new CommandError(faultsText(outcome.faults), EXIT.configuration);
  const agent = await serviceOf(file, outcome.loaded, context, begun);
  endOnBug((error) => agent.crashed(error));
  const ended = untilSignal(agent, context.signals);
  try {
    await agent.start(outcome.read);
  } catch (error) {
    const cause = error instanceof Error ? error : new Error(String(error));
    await agent.close(cause);
    throw new CommandError(cause.message, EXIT.configuration);
  }
  context.signals.on(["SIGHUP"], () => agent.reload());
  context.signals.on(["SIGUSR1", "SIGUSR2"], (signal) => agent.passOver(signal));
  await ended;
  return EXIT.fine;
}

/** Whether the primary has started this process. One that nobody can speak to need not load node:cluster: 4 ms. */
async function isWorker(): Promise<boolean> {
  return process.send !== undefined && (await import("node:cluster")).default.isWorker;
}

async function serviceOf(file: string, loaded: Loaded, context: Context, begun: number) {
  if (loaded.config.workers === 1) {
    return new Service(file, loaded, new Single(file, loaded, context), context, begun);
  }
  const { Workers } = await import("../processes/workers/workers.ts");
  const { policies, ...set } = loaded;
  return new Service<CheckedSet>(file, set, new Workers(file, set, context), context, begun);
}

/** The first signal drains, the second ends what is left of it. */
function untilSignal(agent: Pick<Service<CheckedSet>, "close" | "drain">, signals: Signals): Promise<void> {
  return new Promise((resolve) => {
    let draining = false;
    signals.on(["SIGTERM", "SIGINT"], (signal) => {
      const end = draining ? agent.close() : agent.drain(signal);
      draining = true;
      void end.then(resolve);
    });
  });
}
