import { readdirSync, readFileSync } from "node:fs";

/** Ticks a second in /proc (proc(5), `_SC_CLK_TCK`): 100 on every Linux that Node runs on. */
const TICKS = 100;

/**
 * CPU time of a process so far, all its threads, in user and kernel, in microseconds. The sum is exact to a tick of
 * 10 ms: a measurement of 3 s is good to one third of a percent of a busy core.
 *
 * @throws Error where the process has ended
 */
export function cpuTime(pid: number): number {
  const fields = statOf(pid);
  return ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1e6;
}

/** A process and its children: an agent with several workers is all of them. */
export function familyOf(pid: number): readonly number[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return [pid, ...all.map(Number).filter((one) => parentOf(one) === pid)];
}

/** Undefined for a process that has ended meanwhile. */
function parentOf(pid: number): number | undefined {
  try {
    return Number(statOf(pid)[1]);
  } catch {
    return undefined;
  }
}

/** The fields of /proc/PID/stat from the third one on. */
function statOf(pid: number): readonly string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The second field is the program's name in parentheses, which may hold blanks and parentheses.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** Memory of a process that is resident now, in bytes. */
export function residentMemory(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  if (kilobytes === undefined) throw new Error(`process ${pid} tells no memory`);
  return Number(kilobytes) * 1024;
}
