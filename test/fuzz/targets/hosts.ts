import { normalizeHost } from "../../../policies/routing/host.ts";
import { parseHostPattern } from "../../../policies/routing/hosts.ts";
import { mutatedText } from "../mutate.ts";
import { hold, type Target } from "../target.ts";

const ORIGINALS = [
  ...["orders.example.com", "Orders.EXAMPLE.com:8443", "127.0.0.1:80", "[::1]:443", "[2001:0db8:0::0:1]:80"],
  ...["[::ffff:127.0.0.1]", "*.example.com", "xn--bcher-kva.example", "a_b.example", "localhost", "a.b.c.d.e"],
];
const WORDS = [
  ":",
  ":80",
  ":00443",
  ":65536",
  "[",
  "]",
  "@",
  "%00",
  "%2e",
  ".",
  "..",
  "-",
  "0x7f.1",
  "127.1",
  "user@",
  "/",
  "\\",
  "K",
  "ß",
  "::",
  "ffff",
];

export const HOSTS: Target = {
  name: "hosts",
  oracle:
    "Hosts: one that is read is what the URL standard's parser makes of it, without port and in lower case; read again it is the same, and a policy can name it",
  tested: 20_000,
  share: 2_000,
  reaches: ["read", "refused"],
  open: () => ({
    input: (random) => Buffer.from(mutatedText(random.pick(ORIGINALS), random, { words: WORDS }), "latin1"),
    check(input) {
      const raw = input.toString("latin1");
      const host = normalizeHost(raw);
      const pattern = parseHostPattern(raw);
      if ("host" in pattern && !raw.startsWith("*.")) hold(host === raw, "a policy can name what no request has");
      if (host === undefined) return "refused";
      hold(normalizeHost(host) === host, () => `read again it is ${normalizeHost(host)}`);
      hold("host" in parseHostPattern(host), "no policy can name it");
      const url = URL.parse(`http://${raw}/`);
      // Names that the standard wants in another alphabet, such as xn-- with nothing behind it, are no URL's.
      if (url === null && /(?:^|\.)xn--/.test(host)) return "read";
      hold(
        url?.hostname === host && url.username === "" && url.pathname === "/",
        () => `the URL standard reads ${url?.hostname}`,
      );
      return "read";
    },
  }),
};
