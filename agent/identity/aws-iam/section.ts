import type { Arns } from "../../../policies/judging/binding.ts";
import type { IssuerConfig } from "../../config/config.ts";
import type { Environment } from "../../config/files/substitute.ts";
import type { Section } from "../../config/section.ts";
import { readCredentials } from "../../config/sections/credentials.ts";
import { readCa, readProxy } from "../../config/sections/provider.ts";
import { LABELS } from "./caller.ts";
import { type EndpointKind, type Endpoints, endpointsOf, hostOf, partitionOf } from "./endpoints.ts";
import { PREFIX } from "./presigned.ts";

/** Roles and users of AWS accounts, who sign a GetCallerIdentity request for us to send to STS. */
export interface AwsIamIssuer extends IssuerConfig {
  readonly type: "aws-iam";
  readonly arns: Arns;
  readonly endpoints: Endpoints;
  /** What each request must be signed for: the header in lower case, and its value, which is the issuer's audience. */
  readonly serverId: { readonly header: string; readonly value: string };
  readonly maxAge: number;
  readonly clockTolerance: number;
  readonly sts: {
    /** Requests a second: of one access key, and of all together that have proven nobody yet. */
    readonly rate: number;
    readonly strangers: number;
    readonly timeout: number;
  };
  readonly ca: string | undefined;
  readonly proxy: { readonly url: string; readonly except: readonly string[] } | undefined;
}

/** Whether an issuer's configuration is that of AWS accounts. */
export function isAwsIam(issuer: { readonly type: string }): issuer is AwsIamIssuer {
  return issuer.type === "aws-iam";
}

/** Reads the section of an issuer of this type. */
export function readAwsIam(name: string, section: Section, environment: Environment): AwsIamIssuer {
  const regions = section.texts("regions");
  const kinds = section.texts("endpoints") as readonly EndpointKind[];
  const partition = readPartition(section, regions);
  checkEndpoints(section, regions, kinds);
  const value = section.text("server_id");
  const sts = section.section("sts");
  return {
    name,
    type: "aws-iam",
    issuer: partition === undefined ? "" : `arn:${partition}:sts`,
    ...readCredentials(section),
    prefixes: [PREFIX],
    audiences: [value],
    kinds: ["workload", "person"],
    arns: { partition: partition ?? "", accounts: section.texts("accounts") },
    labels: LABELS,
    endpoints: endpointsOf(regions, kinds),
    serverId: { header: section.text("server_id_header"), value },
    maxAge: section.milliseconds("max_age"),
    clockTolerance: section.milliseconds("clock_tolerance"),
    sts: { rate: sts.number("rate"), strangers: sts.number("strangers"), timeout: sts.milliseconds("timeout") },
    ca: readCa(section),
    proxy: readProxy(section, environment),
  };
}

/** The one that all regions are in: the accounts of two partitions have nothing to do with each other, but their numbers. */
function readPartition(section: Section, regions: readonly string[]): string | undefined {
  const [first, ...others] = regions.map(partitionOf);
  for (const [index, region] of regions.entries()) {
    if (partitionOf(region) !== undefined) continue;
    section.fault(["regions", index], "the name of an AWS region, such as eu-central-1");
    return undefined;
  }
  const odd = others.findIndex((partition) => partition !== first);
  if (odd < 0) return first;
  const right = `regions of one partition, here ${first}: accounts of another have nothing but their numbers in common with these`;
  section.fault(["regions", odd + 1], right, `${section.found(["regions", odd + 1])} of the partition ${others[odd]}`);
  return undefined;
}

function checkEndpoints(section: Section, regions: readonly string[], kinds: readonly EndpointKind[]): void {
  for (const [index, kind] of kinds.entries()) {
    const without = regions.find((region) => partitionOf(region) !== undefined && hostOf(region, kind) === undefined);
    if (without === undefined) continue;
    section.fault(["endpoints", index], `an address that STS has: in ${without} there is none of this kind`);
  }
}
