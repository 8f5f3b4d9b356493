import { close, url } from "node:inspector";

const ASKED_FOR = /--inspect(?:-brk|-wait)?(?:=|\s|$)/;

/**
 * Keeps Node's debugger closed. A SIGUSR1 opens it by default, on a port of loopback by which anybody on the machine
 * can run code in the agent; one that opened it before this ran is undone. What somebody asked for by `--inspect` stays.
 *
 * Only `--disable-sigusr1` closes the debugger from Node's own beginning, some 20 ms earlier: workers have it, and
 * deploy/countersign.service.
 */
export function keepDebuggerClosed(): void {
  process.on("SIGUSR1", () => {});
  if (ASKED_FOR.test([...process.execArgv, process.env.NODE_OPTIONS].join(" "))) return;
  shut();
  // Node acts on the signal twice: at once where it can, and in the next turn.
  setImmediate(shut);
}

function shut(): void {
  if (url() !== undefined) close();
}
