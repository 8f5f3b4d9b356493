const MILLISECONDS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const BYTES = { B: 1, KiB: 1 << 10, MiB: 1 << 20 };

/** Milliseconds of `500ms`, `30s`, `15m` or `12h`; undefined for anything else. */
export function milliseconds(text: string): number | undefined {
  return amount(text, MILLISECONDS);
}

/** Bytes of `512B`, `8KiB` or `1MiB`; undefined for anything else. */
export function bytes(text: string): number | undefined {
  return amount(text, BYTES);
}

function amount(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const [, count = "", unit = ""] = /^(\d{1,9})([A-Za-z]+)$/.exec(text) ?? [];
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  return factor === undefined ? undefined : Number(count) * factor;
}
