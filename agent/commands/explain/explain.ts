import { readFileSync } from "node:fs";
import { type Explanation, explain, type Step, type Who } from "../../../policies/tools/explain.ts";
import { parseRequestLine } from "../../../policies/tools/request-line.ts";
import { credentialFrom } from "../../answer/credentials.ts";
import { type ClaimsIssuer, type Config, hasClaims, type IssuerConfig } from "../../config/config.ts";
import { send } from "../../http/fetch.ts";
import { parseObject } from "../../http/json.ts";
import { Pool } from "../../identity/claims/pool.ts";
import { claimPaths, principalOf } from "../../identity/claims/principal.ts";
import { sourcesOf } from "../../identity/claims/sources.ts";
import { createIdentity } from "../../identity/identity.ts";
import { UNHEARD } from "../../identity/issuer/events.ts";
import { groupsUnasked } from "../../identity/okta/okta.ts";
import { EXIT } from "../../processes/exit.ts";
import {
  CONFIG_OPTION,
  type Command,
  CommandError,
  type Context,
  JSON_OPTION,
  jsonText,
  loadOrFail,
  type Options,
  requiredOption,
  textOption,
  UsageError,
} from "../command.ts";
import { explainConfig } from "./explain-config.ts";
import { claimReport, reportOf } from "./token-report.ts";

export const EXPLAIN: Command = {
  usage:
    'explain ["METHOD URL"] [--token-file F | --claims F --issuer NAME] [--header "NAME: VALUE"]... [--config FILE] [--json]',
  summary: "every step to the decision on one request, or every value of the configuration",
  help: `
Without a request it tells each value of the configuration that is in force, and where it comes from: a line of the
file, a preset, or the default. References to secrets are shown as they stand.

With --token-file the token is really verified, by the issuer's keys. With --claims the claims are taken as proven: for
trying out a policy. Nothing is sent to a running agent.
`,
  example: 'countersign explain "GET https://orders.example.com/v1/orders/42" --claims alice.json --issuer okta',
  options: {
    "token-file": { type: "string", value: "F", help: "a file with an access token" },
    claims: { type: "string", value: "F", help: "a JSON file with the claims of a token" },
    issuer: { type: "string", value: "NAME", help: "the issuer whose claims they are" },
    header: {
      type: "string",
      multiple: true,
      value: '"NAME: VALUE"',
      help: "a request header that the policies read; several times",
    },
    src: { type: "string", value: "ADDRESS", help: "the client's address; default: 192.0.2.1" },
    ...CONFIG_OPTION,
    ...JSON_OPTION,
  },
  positionals: [0, 1],
  run: explainEither,
};

async function explainEither([text]: readonly string[], options: Options, context: Context): Promise<number> {
  if (text !== undefined) return await explainRequest(text, options, context);
  const of = ["token-file", "claims", "issuer", "header", "src"].find((name) => options[name] !== undefined);
  if (of !== undefined) throw new UsageError(`--${of} is about a request: "GET https://HOST/PATH" is missing`);
  return explainConfig(options, context);
}

async function explainRequest(text: string, options: Options, context: Context): Promise<number> {
  const written = parseRequestLine(text);
  if ("offset" in written) throw new UsageError(`${written.found}; ${written.right}`);
  const headers = headersOf(options);
  const { config, policies } = await loadOrFail(options, context);
  const who = await whoOf(options, config, context);
  const time = context.clock();
  const explanation = explain(
    policies,
    { ...written, headers, src: textOption(options, "src") ?? "192.0.2.1", time },
    who,
  );
  context.out(options.json === true ? jsonText(explanation) : textOf(explanation, context.colours));
  return EXIT.fine;
}

function headersOf(options: Options): Readonly<Record<string, string>> {
  const given = Array.isArray(options.header) ? options.header.map(String) : [];
  return Object.fromEntries(
    given.map((text) => {
      const [, name, value] = /^([^:\s]+):\s*(.*)$/.exec(text) ?? [];
      if (name === undefined || value === undefined)
        throw new UsageError(`--header: ${JSON.stringify(text)} is not "NAME: VALUE"`);
      return [name.toLowerCase(), value];
    }),
  );
}

async function whoOf(options: Options, config: Config, context: Context): Promise<Who> {
  const token = textOption(options, "token-file");
  const claims = textOption(options, "claims");
  if (token !== undefined && claims !== undefined) throw new UsageError("--token-file or --claims, not both");
  if (token !== undefined) return verified(read(token).trim(), config, context);
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

/** The token as the agent would take it from an Authorization header. */
async function verified(token: string, { issuers, revoked, cache, limits }: Config, { clock }: Context): Promise<Who> {
  const header = Buffer.from(`Bearer ${token}`);
  const credential = credentialFrom("bearer", header, limits.token);
  if (credential.kind === "none") return undefined;
  // The token was here before the keys are fetched: where its key is not among them, there is none.
  const now = clock();
  const identity = createIdentity(issuers.map(asBearer), { cache, limits, revoked, send, clock, events: UNHEARD });
  try {
    await identity.ready();
    const verification = credential.kind === "invalid" ? credential : await identity.verify(credential, now);
    if ("principal" in verification && verification.principal !== undefined) return verification;
    const keysOf = (issuer: string) => identity.keysOf(issuer);
    const errorOf = (issuer: string) => identity.status().find((each) => each.issuer === issuer)?.error;
    const refused = { text: token, refusal: verification, issuers, keysOf, errorOf, limit: limits.token, now };
    return { reason: verification.reason, found: reportOf(refused) };
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
    EXIT.configuration,
  );
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new CommandError(
      `${file}: cannot be read: ${error instanceof Error && "code" in error ? error.code : error}`,
      EXIT.configuration,
    );
  }
}

const MARKS = { yes: "+", no: "-", note: " " } as const;
const COLOURS = { yes: "\u001b[32m", no: "\u001b[31m", note: "" } as const;

function textOf({ steps }: Explanation, colours: boolean): string {
  const line = ({ about, outcome, text }: Step) => {
    const plain = `${MARKS[outcome]} ${about.padEnd(10)}  ${text}`;
    return colours && COLOURS[outcome] !== "" ? `${COLOURS[outcome]}${plain}\u001b[0m` : plain;
  };
  return `${steps.map(line).join("\n")}\n`;
}
