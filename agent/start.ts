import { keepDebuggerClosed } from "./processes/debugger.ts";
import { Signals } from "./processes/signals.ts";

// All that follows takes some hundred milliseconds to load from source, and signals may come meanwhile.
keepDebuggerClosed();
const signals = new Signals();
if (process.argv[2] === "serve") signals.take();

// Whoever has read enough of a command's output, such as head, ends it. The agent writes by itself (telemetry/sink.ts).
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  if (process.argv[2] !== "serve") process.exit();
});

const { run } = await import("./commands/run.ts");

process.exitCode = await run(process.argv.slice(2), {
  environment: process.env,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  clock: Date.now,
  colours: process.stdout.isTTY === true && process.env.NO_COLOR === undefined,
  signals,
});
