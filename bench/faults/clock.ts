/** Preloaded into the agent: the wall clock is off by as many milliseconds as a file says. The monotonic one is not. */
import { readFileSync } from "node:fs";

const file = process.env.CLOCK_FILE ?? "";
const RealDate = Date;
const now = Date.now.bind(Date);
let offset = 0;

function look(): void {
  try {
    offset = Number(readFileSync(file, "utf8"));
  } catch {
    // It is being written.
  }
}

setInterval(look, 20).unref();

class SteppedDate extends RealDate {
  constructor(...args: readonly unknown[]) {
    if (args.length === 0) super(now() + offset);
    else super(...(args as [number]));
  }

  static override now(): number {
    return now() + offset;
  }
}

globalThis.Date = SteppedDate as DateConstructor;
