import type { PolicyIssuer } from "../judging/binding.ts";
import type { Route, UpstreamToken } from "../policies.ts";
import { type Findings, named, type Place } from "./findings.ts";
import type { UpstreamTokenEntry } from "./policy-file.ts";
import { checkIssuer } from "./roles.ts";
import type { Given } from "./test.ts";

interface Context {
  readonly access: Route["access"];
  readonly forwardCredential: boolean;
  /** All that the service takes. */
  readonly issuers: readonly PolicyIssuer[];
  readonly findings: Findings;
}

/** What a route's backend gets in place of the client's token, where whoever passes there has one that can be exchanged. */
export function compileUpstreamToken({ value, place }: Given<UpstreamTokenEntry>, context: Context): UpstreamToken {
  const { exchange, audience } = value;
  checkOwner(exchange, place, context);
  checkBesides(place, context);
  const scopes = [...new Set(value.scopes)].sort();
  return { exchange, audience, scopes, key: JSON.stringify([audience, ...scopes]) };
}

/** Nobody's token is sent to anybody but who made it. */
function checkOwner(name: string, place: Place, { issuers, findings }: Context): void {
  const owner = issuers.find((issuer) => issuer.name === name);
  if (owner === undefined) {
    checkIssuer(name, place.at("exchange"), issuers, findings);
    return;
  }
  if (owner.exchanges !== true) {
    const right = `\`exchange: { client: … }\` at the issuer "${name}" in the configuration`;
    findings.fault(place.at("exchange"), `the issuer "${name}" exchanges no tokens`, right);
  }
  const others = issuers.filter((issuer) => issuer !== owner).map((issuer) => issuer.name);
  if (others.length > 0) {
    findings.fault(
      place.at("exchange"),
      `the service takes principals of ${named(others)}, too, who have no token of "${name}" to exchange`,
      `\`issuers: [${name}]\` at the service, and another service for the others`,
    );
  }
  if (owner.sessions === true) {
    findings.warn(
      place.at("exchange"),
      `people log in at "${name}" by a browser, and their sessions have no token to exchange`,
      "they are refused here (exchange-impossible): use the route for those who bring a token",
    );
  }
}

/** Keys beside it that would let a request through without the token, or with two. */
function checkBesides(place: Place, { access, forwardCredential, findings }: Context): void {
  if (access === "optional") {
    const right = "no `optional` there, or `upstream_token` at the routes that need it: who is anonymous has no token";
    findings.key(place, "`upstream_token` on a route with `optional`", right);
  }
  if (forwardCredential) {
    const right = "one of the two: the exchanged token takes the place of the client's";
    findings.key(place, "`upstream_token` beside `forward_credential`", right);
  }
}
