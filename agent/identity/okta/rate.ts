/** Milliseconds that a pause lasts at least and at most, whatever Okta says. */
const SHORTEST = 1_000;
const LONGEST = 60_000;

/**
 * How long nothing more may be asked (Okta, "Rate limits"); 0 where it may.
 *
 * The end of the window is by Okta's own clock, so it is held against the time of the answer by that clock.
 *
 * @param jitter from 0 to 1: not all agents begin again in the same instant
 * @returns milliseconds
 */
export function pauseAfter(status: number, headers: Headers, jitter: number): number {
  if (status !== 429 && headers.get("x-rate-limit-remaining") !== "0") return 0;
  const [reset, told] = [Number(headers.get("x-rate-limit-reset")) * 1000, Date.parse(headers.get("date") ?? "")];
  const left = reset > 0 && Number.isFinite(told) ? reset - told : 0;
  return Math.min(Math.max(left, SHORTEST), LONGEST) + Math.round(jitter * SHORTEST);
}
