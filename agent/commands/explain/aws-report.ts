import type { IssuerConfig } from "../../config/config.ts";
import { PREFIX } from "../../identity/aws-iam/presigned.ts";
import { type AwsIamIssuer, isAwsIam } from "../../identity/aws-iam/section.ts";
import type { Refusal } from "../../identity/issuer/refusal.ts";

/** A token for AWS that proves nobody, and what it was held against. */
export interface RefusedAws {
  readonly text: string;
  readonly refusal: Refusal;
  readonly issuers: readonly IssuerConfig[];
  /** Why an issuer cannot be asked; undefined where it can. */
  readonly errorOf: (issuer: string) => string | undefined;
}

/** Parameters that may be shown: those that prove nothing by themselves. */
const SHOWN: ReadonlySet<string> = new Set([
  "Action",
  "Version",
  "X-Amz-Algorithm",
  "X-Amz-Date",
  "X-Amz-Expires",
  "X-Amz-SignedHeaders",
]);

/** Whether a token is a request to AWS. */
export function isAws(text: string): boolean {
  return text.startsWith(PREFIX);
}

/** What was found in it and what was expected. Its signature and credentials are not shown. */
export function awsReport({ text, refusal, issuers, errorOf }: RefusedAws): readonly string[] {
  const issuer = issuers.find(isAwsIam);
  if (issuer === undefined) return ["it is a request to AWS; no issuer of the configuration is of the type `aws-iam`"];
  const url = Buffer.from(text.slice(PREFIX.length), "base64url").toString("latin1");
  const { reason, claim } = refusal;
  if (claim === "host") return [hostFinding(url, issuer)];
  if (claim === "X-Amz-Date" && reason !== "token-malformed") return [dateFinding(url, issuer)];
  if (reason === "signature-invalid") return [`STS says that it is signed otherwise; expected: ${signing(issuer)}`];
  if (reason === "key-unknown") return ["STS does not know its access key, or knows it no more, or not in its region"];
  if (reason === "identity-not-accepted") return [identityFinding(claim, issuer)];
  if (reason === "issuer-unavailable") return [`STS cannot tell: ${errorOf(issuer.issuer) ?? "it is asked too often"}`];
  return claim === undefined ? [] : [`${claim} is ${valueIn(url, claim)}; expected: ${signing(issuer)}`];
}

function signing({ serverId: { header, value } }: AwsIamIssuer): string {
  return `a GET of GetCallerIdentity signed with \`host\` and \`${header}: ${value}\`, as \`aws eks get-token --cluster-name ${value}\` makes it`;
}

function hostFinding(url: string, { name, endpoints }: AwsIamIssuer): string {
  const host = /^https:\/\/([^/?#]*)/.exec(url)?.[1] ?? "";
  return `its host is ${JSON.stringify(host)}; \`regions\` and \`endpoints\` of ${name}: ${Object.keys(endpoints).join(", ")}`;
}

function dateFinding(url: string, { maxAge, clockTolerance }: AwsIamIssuer): string {
  return `it was signed at ${valueIn(url, "X-Amz-Date")}; \`max_age\` is ${maxAge / 1000} s, \`clock_tolerance\` ${clockTolerance / 1000} s`;
}

function identityFinding(claim: string | undefined, { arns }: AwsIamIssuer): string {
  if (claim === "Account") return `its account is another; \`accounts\`: ${arns.accounts.join(", ")}`;
  return "it is of the root user of an account, or of a federated user; expected: a role, or a user";
}

function valueIn(url: string, name: string): string {
  if (!SHOWN.has(name)) return "not as it must be";
  const values = new URLSearchParams(url.replace(/^[^?]*\?/, "")).getAll(name);
  return values.length === 0 ? "absent" : values.map((value) => JSON.stringify(value)).join(" and ");
}
