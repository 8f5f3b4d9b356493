const RFC3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/** Milliseconds since the epoch of a time as in RFC 3339; undefined where it is none, or none that there is. */
export function readInstant(text: string): number | undefined {
  const [, local] = RFC3339.exec(text) ?? [];
  if (local === undefined || !isCalendar(local)) return undefined;
  const instant = Date.parse(text);
  return Number.isNaN(instant) ? undefined : instant;
}

/** Date takes the 30th of February for the 2nd of March. */
function isCalendar(local: string): boolean {
  const date = new Date(`${local}Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(local);
}
