const LONGEST_HOST = 253;
// A last label that is a number, decimal or hexadecimal, makes an address of it to some programs (the URL standard among
// them) and a name to others: it is no name here.
const NAME = /^(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)*(?!(?:\d+|0x[\da-f]*)$)(?!-)[a-z0-9_-]{1,63}(?<!-)$/;
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const IPV6 = /^\[[0-9a-f:.]{2,45}\]$/;
const ASCII = /^[!-~]+$/;
/** From 1 to 65535. */
const PORT = /:(?=\d{1,5}$)0*(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])$/;

/**
 * The host of a Host header or `:authority` in the form that policies name it: lower case and without port; an IPv6
 * address in brackets and in its one short form (RFC 5952, but an IPv4-mapped one in hexadecimal).
 * `undefined` for what is no host name or address literal, also one with a trailing dot, or has a port that is none: a
 * backend could take it for another host than the policies did (RFC 9110, section 7.2).
 */
export function normalizeHost(raw: string): string | undefined {
  if (raw.length <= LONGEST_HOST && NAME.test(raw)) return raw;
  // Before the lower case is taken: that of the Kelvin sign, say, is a plain k.
  if (raw.length > LONGEST_HOST + 6 || !ASCII.test(raw)) return undefined;
  const host = raw.toLowerCase().replace(PORT, "");
  if (host.length > LONGEST_HOST) return undefined;
  if (IPV6.test(host)) return URL.parse(`http://${host}/`)?.hostname;
  return NAME.test(host) || IPV4.test(host) ? host : undefined;
}
