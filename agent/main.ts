#!/usr/bin/env node
import { run } from "./commands/run.ts";

process.exitCode = await run(process.argv.slice(2), {
  environment: process.env,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  clock: Date.now,
  colours: process.stdout.isTTY === true && process.env.NO_COLOR === undefined,
});
