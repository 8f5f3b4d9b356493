import { EXIT } from "./exit.ts";

/**
 * Ends the process on a bug that nothing has caught: HAProxy refuses everything until it is started again, which is
 * better than a state nobody knows.
 *
 * @param tell what is still told of it before
 */
export function endOnBug(tell: (error: unknown) => Promise<void>): void {
  for (const event of ["uncaughtException", "unhandledRejection"]) {
    process.on(event, (error) => void tell(error).finally(() => process.exit(EXIT.bug)));
  }
}
