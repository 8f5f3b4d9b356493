import { X509Certificate } from "node:crypto";
import { currentKeys, signingKey } from "../assertion/ring.ts";
import { addressText } from "../net/address.ts";
import { dayOf, type Finding } from "./finding.ts";
import type { Sources } from "./sources.ts";

const DAY = 24 * 3_600;
/** Days after which a signing key should have been rotated. */
const OLD = 180;

/** HAProxy's files against what these policies would render. */
export function haproxyFindings({ haproxy }: Sources): readonly Finding[] {
  return (haproxy ?? []).flatMap(({ file, is, right }) => {
    const remedy = "`countersign generate haproxy`, and reload HAProxy";
    if (is === undefined)
      return [
        { at: file, found: "it is not there", causes: "HAProxy has other files than these policies need", remedy },
      ];
    const causes =
      "routes that need more are refused with haproxy-config-outdated; rules that were added are not there";
    return is === right
      ? []
      : [{ at: file, found: "it is not what these policies and this version render", causes, remedy }];
  });
}

/** The configuration itself, where it is sound and unwise. */
export function configFindings({ config, now }: Sources): readonly Finding[] {
  const found: Finding[] = [];
  const at = config.file;
  if (
    config.haproxy.scheme === "http" &&
    config.haproxy.bind.some((bind) => !/^(?:127\.|\[::1\]|unix|localhost)/.test(bind))
  ) {
    const remedy = "`ssl` in `haproxy.bind`, or TLS in a load balancer before it, and `scheme: https`";
    found.push({
      at,
      found: "clients send their tokens over plain http",
      causes: "whoever is on the way has them",
      remedy,
    });
  }
  for (const address of config.listen.spop) {
    if (!("path" in address) || (address.mode & 0o006) === 0) continue;
    const causes =
      "every account of the machine can ask for verdicts, and read what is asked where it can stand in for the agent";
    found.push({
      at,
      found: `everybody may connect to ${address.path}`,
      causes,
      remedy: '`mode: "0660"` and HAProxy\'s `group`',
    });
  }
  return [...found, ...tlsFindings(config, now), ...ringFindings(config, now / 1000)];
}

/** The agent's own certificates. Some live for a day, and others for a year: what counts is what is left of them. */
function tlsFindings({ file, listen }: Sources["config"], now: number): readonly Finding[] {
  return listen.spop.flatMap((address) => {
    if (!("tls" in address) || address.tls === undefined) return [];
    const certificate = new X509Certificate(address.tls.cert);
    const [from, until] = [certificate.validFromDate, certificate.validToDate].map((date) => date.getTime());
    if (from === undefined || until === undefined || until - now > (until - from) / 10) return [];
    return [
      {
        at: `${file}: ${addressText(address)}`,
        found: now >= until ? "the agent's certificate has ended" : `the agent's certificate ends on ${dayOf(until)}`,
        causes: "once it has ended HAProxy asks the agent nothing more, and refuses everything",
        remedy: "renew the file in `tls.cert`; it is read at once",
      },
    ];
  });
}

function ringFindings({ assertion }: Sources["config"], now: number): readonly Finding[] {
  const key = assertion && signingKey(assertion.ring, now);
  if (assertion === undefined || key === undefined) return [];
  const found: Finding[] = [];
  if (key.from > 0 && now - key.from > OLD * DAY) {
    const causes = "whoever once got hold of it can still speak for the agent";
    found.push({
      at: assertion.keys,
      found: `the key ${key.kid} signs since ${dayOf(key.from * 1000)}`,
      causes,
      remedy: "`countersign keys rotate`, by a job",
    });
  }
  if (currentKeys(assertion.ring, now).length < assertion.ring.length) {
    const causes = "nothing; a key that is not needed can only be stolen";
    found.push({
      at: assertion.keys,
      found: "it holds keys that sign no more and are not published",
      causes,
      remedy: "`countersign keys rotate` takes them out",
    });
  }
  return found;
}
