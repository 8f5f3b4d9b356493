/** Something that somebody should look at before it shows. */
export interface Finding {
  /** What was looked at: a file, an address, an object. */
  readonly at: string;
  readonly found: string;
  /** What it causes, or will. */
  readonly causes: string;
  readonly remedy: string;
}

const DAY = 24 * 3_600_000;

/** Days left until an instant, both in milliseconds since the epoch. */
export function daysUntil(instant: number, now: number): number {
  return Math.floor((instant - now) / DAY);
}

/** `orders.example.com`, an ISO date of an instant. */
export function dayOf(instant: number): string {
  return new Date(instant).toISOString().slice(0, 10);
}
