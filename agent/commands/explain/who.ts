import { readFileSync } from "node:fs";
import { wholeIdentity } from "../../../linkerd/identity.ts";
import type { Who } from "../../../policies/tools/explain.ts";
import { type Credential, credentialFrom } from "../../answer/credentials.ts";
import { type ClaimsIssuer, type Config, hasClaims, type IssuerConfig } from "../../config/config.ts";
import { pemBlocks } from "../../config/files/pem.ts";
import { problemOf } from "../../config/files/read-file.ts";
import { send } from "../../http/fetch.ts";
import { parseObject } from "../../http/json.ts";
import { Pool } from "../../identity/claims/pool.ts";
import { claimPaths, principalOf } from "../../identity/claims/principal.ts";
import { sourcesOf } from "../../identity/claims/sources.ts";
import { createIdentity } from "../../identity/identity.ts";
import { UNHEARD } from "../../identity/issuer/events.ts";
import { meshPrincipal } from "../../identity/mesh/principal.ts";
import { isMeshIssuer } from "../../identity/mesh/section.ts";
import { groupsUnasked } from "../../identity/okta/okta.ts";
import { EXIT } from "../../processes/exit.ts";
import { CommandError, type Context, type Options, requiredOption, textOption, UsageError } from "../command.ts";
import { certificateReport } from "./certificate-report.ts";
import { claimReport, type Refused, reportOf } from "./token-report.ts";

const WAYS = ["token-file", "certificate-file", "claims", "mesh-identity"] as const;

/** Who the options say that the request is from. */
export async function whoOf(options: Options, config: Config, context: Context): Promise<Who> {
  const [token, certificate, claims, mesh] = WAYS.map((name) => textOption(options, name));
  if (WAYS.filter((name) => options[name] !== undefined).length > 1)
    throw new UsageError(`one of --${WAYS.join(", --")}`);
  if (token !== undefined) return verifiedToken(tokenIn(token), config, context);
  if (certificate !== undefined) return verifiedCertificate(certificate, config, context);
  if (mesh !== undefined) return meshed(mesh, config, context);
  if (claims === undefined) return undefined;
  return taken(claims, issuerNamed(requiredOption(options, "issuer"), config), context);
}

function issuerNamed(name: string, { issuers }: Config): ClaimsIssuer {
  const issuer = issuers.find((each) => each.name === name);
  if (issuer !== undefined && hasClaims(issuer)) return issuer;
  throw new UsageError(
    `--issuer: no issuer ${name}${issuer === undefined ? "" : " whose principals are described by claims"}; the configuration has ${issuers.map((each) => each.name).join(", ") || "none"}`,
  );
}

/** Where a token stands does not matter for what it says. */
function asBearer(issuer: IssuerConfig): IssuerConfig {
  return issuer.credentials.includes("bearer") ? issuer : { ...issuer, credentials: [...issuer.credentials, "bearer"] };
}

function tokenIn(file: string): string {
  const token = read(file).trim();
  if (token === "") throw new CommandError(`${file}: there is no token in it`, EXIT.noInput);
  return token;
}

/** The token as the agent would take it from an Authorization header. */
function verifiedToken(token: string, config: Config, context: Context): Promise<Who> {
  const credential = credentialFrom("bearer", Buffer.from(`Bearer ${token}`), config.limits.token);
  return verified(credential, { ...config, issuers: config.issuers.map(asBearer) }, context, (refused) =>
    reportOf({ ...refused, text: token }),
  );
}

/** The certificate as HAProxy sends it once it has verified it. */
function verifiedCertificate(file: string, config: Config, context: Context): Promise<Who> {
  const blocks = pemBlocks(read(file), "CERTIFICATE");
  if (typeof blocks === "string")
    throw new CommandError(`${file}: a file ${blocks}; a client's certificate in PEM`, EXIT.noInput);
  const [der = Buffer.alloc(0)] = blocks;
  return verified(credentialFrom("client-certificate", der, config.limits.token), config, context, (refused) =>
    certificateReport(der, refused),
  );
}

async function verified(
  credential: Credential,
  { issuers, revoked, cache, limits }: Config,
  { clock }: Context,
  report: (refused: Omit<Refused, "text">) => readonly string[],
): Promise<Who> {
  if (credential.kind === "none") return undefined;
  // The token was here before the keys are fetched: where its key is not among them, there is none.
  const now = clock();
  const identity = createIdentity(issuers, { cache, limits, revoked, send, clock, events: UNHEARD });
  try {
    await identity.ready();
    const verification = credential.kind === "invalid" ? credential : await identity.verify(credential, now);
    if ("principal" in verification && verification.principal !== undefined) return verification;
    const keysOf = (issuer: string) => identity.keysOf(issuer);
    const errorOf = (issuer: string) => identity.status().find((each) => each.issuer === issuer)?.error;
    const found = report({ refusal: verification, issuers, keysOf, errorOf, limit: limits.token, now });
    return { reason: verification.reason, found };
  } finally {
    identity.close();
  }
}

/** The principal that the claims describe, as if a token of the issuer had proven them. */
function taken(file: string, issuer: ClaimsIssuer, { clock }: Context): Who {
  const claims = parsed(file);
  const exp = Math.floor(clock() / 1000) + 600;
  const whole = { exp, ...audienceOf(issuer), ...claims };
  const principal = principalOf(whole, issuer, claimPaths(issuer), new Pool());
  if (!("reason" in principal)) return { principal: { ...principal, groups: groupsUnasked(principal, issuer) } };
  const { reason, claim } = principal;
  return { reason, found: claim === undefined ? [] : [claimReport(whole, claim, issuer)] };
}

/** A client of the mesh, as if the proxy in HAProxy's pod had named it, and were believed. */
function meshed(name: string, { issuers }: Config, { clock }: Context): Who {
  const issuer = issuers.find(isMeshIssuer);
  if (issuer === undefined) throw new UsageError("--mesh-identity: no issuer of the configuration is of the type mesh");
  const principal = meshPrincipal(wholeIdentity(name, issuer), issuer, clock() + 30_000);
  if (!("reason" in principal)) return { principal };
  const { namespaces, controlPlane, trustDomain } = issuer;
  const of = namespaces.length === 0 ? "any namespace" : namespaces.join(", ");
  const found = `${issuer.name} takes ACCOUNT.NAMESPACE.serviceaccount.identity.${controlPlane}.${trustDomain} of ${of}`;
  return { reason: principal.reason, found: [found] };
}

/** As the issuer's tokens have it, for claims that do not say whom they are meant for. */
function audienceOf({ claims, audiences }: ClaimsIssuer): Readonly<Record<string, unknown>> {
  const [name = "aud", ...below] = sourcesOf(claims.audience)[0]?.path.names ?? [];
  return { [name]: below.reduceRight<unknown>((value, step) => ({ [step]: value }), audiences) };
}

function parsed(file: string): Record<string, unknown> {
  const claims = parseObject(Buffer.from(read(file)));
  if (claims !== undefined) return claims;
  throw new CommandError(
    `${file}: not a JSON object of claims as a token may hold them: no name twice, no integer beyond 64 bits`,
    EXIT.noInput,
  );
}

/** @throws CommandError where it cannot be read */
export function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new CommandError(`${file}: cannot be read: ${problemOf(error)}`, EXIT.noInput);
  }
}
