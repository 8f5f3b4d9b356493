import { keepDebuggerClosed } from "./processes/debugger.ts";
import { Signals } from "./processes/signals.ts";

// All that follows takes some hundred milliseconds to load from source, and signals may come meanwhile.
keepDebuggerClosed();
const signals = new Signals();
if (process.argv[2] === "serve") signals.take();

const { run } = await import("./commands/run.ts");

process.exitCode = await run(process.argv.slice(2), {
  environment: process.env,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  clock: Date.now,
  colours: process.stdout.isTTY === true && process.env.NO_COLOR === undefined,
  signals,
});
