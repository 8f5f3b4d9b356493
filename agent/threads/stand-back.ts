import { setPriority } from "node:os";

const NICE = 10;

/**
 * Puts the calling thread behind all that answers requests, HAProxy too: where cores are few, its work waits rather than
 * theirs. Where the system has no priorities by thread, or a sandbox forbids to set them, it stays where it is.
 */
export function standBack(): void {
  // On Linux 0 is the calling thread; elsewhere it would be the whole process.
  if (process.platform !== "linux") return;
  try {
    setPriority(0, NICE);
  } catch {
    // systemd's `SystemCallFilter=~@resources` does.
  }
}
