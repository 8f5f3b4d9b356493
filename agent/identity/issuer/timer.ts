import type { Schedule } from "./world.ts";

/** What setTimeout takes; a longer delay would run at once. */
const LONGEST_DELAY = 2 ** 31 - 1;

/** The process's own timers, which do not keep it alive. */
export const timer: Schedule = (delay, task) => {
  const timeout = setTimeout(task, Math.min(delay, LONGEST_DELAY)).unref();
  return () => clearTimeout(timeout);
};
