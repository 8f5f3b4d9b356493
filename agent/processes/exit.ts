/** Exit codes, after sysexits.h. */
export const EXIT = {
  fine: 0,
  /** What `check` or `test` looked at is bad. */
  bad: 1,
  /** `check --haproxy` found nothing bad, and could not prove that there is nothing. */
  unproven: 2,
  usage: 64,
  /** A file that the command line names cannot be read, or is not what it is given as. */
  noInput: 66,
  /** Node is too old; main.ts says it, where this file cannot be read yet. */
  unavailable: 69,
  bug: 70,
  /** A file cannot be written, or is there and not to be replaced. */
  cannotCreate: 73,
  configuration: 78,
} as const;
