/** A part of AWS with accounts, regions and names of its own. */
interface Partition {
  readonly name: string;
  readonly regions: RegExp;
  readonly suffix: string;
  /** Of addresses for IPv4 and IPv6; undefined where STS has none. */
  readonly dualStack: string | undefined;
}

/** As AWS's own SDKs have them (partitions.json of botocore); what is in no other is in `aws`. */
const PARTITIONS: readonly Partition[] = [
  partition("aws-cn", /^cn-[a-z]+-\d$/, "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
  partition("aws-us-gov", /^us-gov-[a-z]+-\d$/, "amazonaws.com", "api.aws"),
  partition("aws-eusc", /^eusc-[a-z]{2}-[a-z]+-\d$/, "amazonaws.eu", "api.amazonwebservices.eu"),
  partition("aws-iso", /^us-iso-[a-z]+-\d$/, "c2s.ic.gov", "api.aws.ic.gov"),
  partition("aws-iso-b", /^us-isob-[a-z]+-\d$/, "sc2s.sgov.gov", "api.aws.scloud"),
  partition("aws-iso-e", /^eu-isoe-[a-z]+-\d$/, "cloud.adc-e.uk", undefined),
  partition("aws-iso-f", /^us-isof-[a-z]+-\d$/, "csp.hci.ic.gov", undefined),
  partition("aws", /^[a-z]{2}-[a-z]+-\d$/, "amazonaws.com", "api.aws"),
];

/** The kinds of addresses that a client of STS can be configured for. */
export type EndpointKind = "regional" | "fips" | "dualstack" | "dualstack-fips" | "global";

/** The one address that is of no region, and the region that signatures for it name. */
const GLOBAL = { host: "sts.amazonaws.com", region: "us-east-1" } as const;

function partition(name: string, regions: RegExp, suffix: string, dualStack: string | undefined): Partition {
  return { name, regions, suffix, dualStack };
}

/** The partition that a region is in; undefined where no region has such a name. */
export function partitionOf(region: string): string | undefined {
  return PARTITIONS.find(({ regions }) => regions.test(region))?.name;
}

/** The host of STS for a region; undefined where there is none of that kind. */
export function hostOf(region: string, kind: EndpointKind): string | undefined {
  const found = PARTITIONS.find(({ regions }) => regions.test(region));
  if (found === undefined) return undefined;
  const { name, suffix, dualStack } = found;
  if (kind === "global") return name === "aws" ? GLOBAL.host : undefined;
  const stacked = kind.startsWith("dualstack");
  // What AWS GovCloud has for every region is FIPS already.
  const fips = kind.endsWith("fips") && (stacked || name !== "aws-us-gov");
  const end = stacked ? dualStack : suffix;
  return end === undefined ? undefined : `sts${fips ? "-fips" : ""}.${region}.${end}`;
}

/** By each host that may be asked, the region that a signature for it names. */
export type Endpoints = Readonly<Record<string, string>>;

export function endpointsOf(regions: readonly string[], kinds: readonly EndpointKind[]): Endpoints {
  const endpoints: Record<string, string> = {};
  for (const region of regions) {
    for (const kind of kinds) {
      const host = hostOf(region, kind);
      if (host !== undefined) endpoints[host] = kind === "global" ? GLOBAL.region : region;
    }
  }
  return endpoints;
}
