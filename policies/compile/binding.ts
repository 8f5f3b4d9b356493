import { arnFault, provenArn, readArn } from "../arn.ts";
import { claimPath, claimPathFault } from "../claim-path.ts";
import { claimsOf } from "../judging/binding.ts";
import { type WantedEntry, type WantedText, wantedFault } from "../judging/wanted.ts";
import { hasPlaceholder, strayIn } from "../signs.ts";
import { type WantedUri, wantedDomain } from "../spiffe-id.ts";
import { typeName } from "../unknown.ts";
import type { Findings, Place } from "./findings.ts";
import type { BindingEntry, WantedActor } from "./policy-file.ts";

/** Checks what a binding wants of a principal: names that mean something else than they look, and what can never be. */
export function checkWanted(entry: BindingEntry, place: Place, findings: Findings): void {
  for (const key of ["subject", "client", "group", "scope"] as const) checkValue(entry[key], place.at(key), findings);
  checkActor(entry.actor, place.at("actor"), findings);
  if (entry.arn !== undefined) checkArn(entry.arn, place.at("arn"), findings);
  if (entry.uri !== undefined) checkUri(entry.uri, place.at("uri"), findings);
  const claims = claimsOf(entry);
  const listed = Array.isArray(entry.claim);
  for (const [index, [path, value]] of claims.entries()) {
    const at = listed ? place.at("claim", index) : place.at("claim", String(path));
    checkPath(path, listed ? at.at("path") : at, listed, findings);
    checkValue(value, listed ? at.at("value") : at, findings);
    checkType(path, value, at, findings);
  }
}

/** A claim that its bearer chose gives nobody a role, nor takes it from anybody. */
export function checkLabels(entry: BindingEntry, labels: ReadonlySet<string>, place: Place, findings: Findings): void {
  for (const [index, [path]] of claimsOf(entry).entries()) {
    const [name = ""] = claimPath(path).names;
    if (!labels.has(name)) continue;
    const at = Array.isArray(entry.claim) ? place.at("claim", index) : place.at("claim", String(path));
    findings.fault(
      at,
      `the claim "${name}", which whoever asks has chosen`,
      "what is proven: `arn`, `account` or another key",
    );
  }
}

/** AWS tells of a session neither its role's path nor, in its ARN, anything that its holder did not choose but the role. */
function checkArn(text: string, place: Place, findings: Findings): void {
  const fault = arnFault(text);
  if (fault !== undefined) findings.fault(place, fault.found, fault.right);
  const arn = readArn(text);
  if (arn?.kind !== "role" || arn.path === "") return;
  findings.warn(
    place,
    `the path "${arn.path}" of a role, which AWS does not tell and is not compared`,
    `\`${provenArn(arn)}\`: no two roles of an account have one name`,
  );
}

/** Where a path did not end in `/`, another workload's or trust domain could begin so. */
function checkUri(uri: WantedUri, place: Place, findings: Findings): void {
  if (wantedDomain(uri) !== undefined) return;
  if (typeof uri === "string") {
    const right =
      "a SPIFFE id such as spiffe://example.org/ns/shop/sa/web; or `{ prefix: spiffe://example.org/ns/shop/ }`";
    findings.fault(place, JSON.stringify(uri), right);
  } else {
    const right = "a trust domain, and a path that ends in `/`, such as spiffe://example.org/ns/shop/";
    findings.fault(place.at("prefix"), JSON.stringify(uri.prefix), right);
  }
}

function checkValue(entry: WantedEntry | undefined, place: Place, findings: Findings): void {
  const fault = entry === undefined ? undefined : wantedFault(entry);
  if (fault !== undefined) findings.text(fault.key === undefined ? place : place.at(fault.key), fault);
}

/** Who acts is told by two names at most: its own, and its issuer's. */
function checkActor(actor: BindingEntry["actor"], place: Place, findings: Findings): void {
  const { subject, issuer, kind, ...name }: WantedActor & WantedText = typeof actor === "object" ? actor : {};
  const isMapping = (subject ?? issuer ?? kind) !== undefined;
  checkValue(isMapping ? subject : (actor as WantedEntry), isMapping ? place.at("subject") : place, findings);
  const [beside] = Object.keys(name);
  if (isMapping && beside !== undefined) {
    const right = `\`subject: { ${beside}: TEXT }\` in its place`;
    findings.fault(place.at(beside), `\`${beside}\` beside \`subject\`, \`issuer\` or \`kind\``, right);
  }
  if (issuer !== undefined && (hasPlaceholder(issuer) || strayIn(issuer) !== undefined)) {
    const right = "the actor's whole `iss`, as tokens have it: another binding for each that differs in this";
    findings.fault(place.at("issuer"), `"${issuer}", which no token has`, right);
  }
  if (issuer === undefined || issuer.includes(":")) return;
  const right =
    "the `iss` that the token gives the actor, such as https://id.example.com: the configuration's issuers vouch for principals, and who acts is told by the principal's";
  findings.fault(place.at("issuer"), `"${issuer}", which is no URL`, right);
}

function checkPath(path: string | readonly string[], place: Place, listed: boolean, findings: Findings): void {
  const fault = typeof path === "string" ? claimPathFault(path) : undefined;
  if (fault === undefined) return;
  if (listed) findings.text(place, fault);
  else findings.key(place, `${fault.found}, in the path ${JSON.stringify(path)}`, fault.right);
}

/** The types of claims that RFC 7519, RFC 8693, RFC 9068 and OpenID Connect Core 1.0 register; of a list, of its members. */
const TYPES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    "a text":
      "iss sub aud jti azp client_id scope acr amr nonce sid name email preferred_username groups roles entitlements",
    "a number": "exp nbf iat auth_time updated_at",
    "a boolean": "email_verified phone_number_verified",
    "a mapping": "act may_act cnf address",
  }).flatMap(([type, names]) => names.split(" ").map((name) => [name, type] as const)),
);

/** A value that the claim can never equal: whoever has the claim would be refused, as nobody could tell. */
function checkType(path: string | readonly string[], value: WantedEntry, place: Place, findings: Findings): void {
  const [name = "", ...deeper] = claimPath(path).names;
  if (name === "may_act") {
    const right = "`actor: { subject: NAME }`, which asks who does";
    findings.warn(place, 'the claim "may_act", which says who might act for the subject, and proves nothing', right);
  }
  if (deeper.length > 0) return;
  const type = TYPES.get(name);
  const wanted = typeof value === "object" ? "a text" : typeName(value);
  if (type !== undefined && type !== wanted) {
    const right = type === "a mapping" ? `a path into it, such as \`${name}.sub\`` : `${type} to compare it with`;
    findings.warn(place, `${wanted} compared with the claim "${name}", which is ${type}: it is never equal`, right);
  }
  if (name === "scope") {
    const right = "`scope: NAME` in the binding, which looks for one of them";
    findings.warn(place, 'the claim "scope", which holds all scopes as one text', right);
  }
}
