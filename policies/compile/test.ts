import type { Condition, ExpressionUses } from "../cel/conditions.ts";
import type { OwnedHeaders } from "../judging/headers.ts";
import type { Role } from "../judging/roles.ts";
import type { Test } from "../judging/rule.ts";
import type { StepUp } from "../judging/step-up.ts";
import { meaningless, signIn } from "../signs.ts";
import type { Expressions } from "./expressions.ts";
import type { Findings, Place } from "./findings.ts";
import type { RuleEntry } from "./policy-file.ts";
import { roleNamed } from "./roles.ts";

/** A key of a rule with the place where it stands: at the route, or at the service whose default it is. */
export interface Given<T> {
  readonly value: T;
  readonly place: Place;
}

/** The parts of a rule, each from where it is given. */
export interface TestParts {
  readonly allow: Given<readonly string[]> | undefined;
  readonly deny: readonly Given<readonly string[]>[];
  readonly scopes: Given<NonNullable<RuleEntry["scopes"]>> | undefined;
  readonly when: Given<string> | undefined;
  readonly stepUp: Given<NonNullable<RuleEntry["step_up"]>> | undefined;
}

/** A key of an entry, with its place. */
export function given<T, K extends keyof T & string>(
  entry: T,
  key: K,
  place: Place,
): Given<NonNullable<T[K]>> | undefined {
  const value = entry[key];
  return value === undefined || value === null ? undefined : { value, place: place.at(key) };
}

/** A rule's own parts where it has them, those of `fallback` where not; `deny` adds up. */
export function testParts(entry: RuleEntry, place: Place, fallback: TestParts | undefined, adds: boolean): TestParts {
  const deny = given(entry, "deny", place);
  const inherited = fallback?.deny ?? [];
  return {
    allow: given(entry, "allow", place) ?? fallback?.allow,
    deny: deny === undefined ? inherited : adds ? [...inherited, deny] : [deny],
    scopes: given(entry, "scopes", place) ?? fallback?.scopes,
    when: given(entry, "when", place) ?? fallback?.when,
    stepUp: given(entry, "step_up", place) ?? fallback?.stepUp,
  };
}

/** What compiling one rule needs of the rest of the policies. */
export interface TestContext {
  readonly roles: ReadonlyMap<string, Role>;
  /** Names of the issuers that the service takes. */
  readonly issuers: ReadonlySet<string>;
  /** Captures that every pattern of the route has. */
  readonly captures: ReadonlySet<string>;
  /** Headers that are not the policies'. */
  readonly owned: OwnedHeaders;
  readonly expressions: Expressions;
  readonly findings: Findings;
  /** The roles that the rule names, told so that useless bindings can be found. */
  readonly used: (role: Role, issuers: ReadonlySet<string>) => void;
}

/** Compiles who may pass. */
export function compileTest(parts: TestParts, context: TestContext): Test {
  return {
    allow: parts.allow === undefined ? [] : compileAllow(parts.allow, context),
    deny: parts.deny.flatMap((list) => namedRoles(list, context)),
    scopes: parts.scopes === undefined ? [] : compileScopes(parts.scopes, context),
    when: parts.when === undefined ? undefined : compileWhen(parts.when, context),
    stepUp: parts.stepUp && compileStepUp(parts.stepUp, context),
  };
}

const MILLISECONDS = { s: 1000, m: 60_000, h: 3_600_000 } as const;

function compileStepUp({ value, place }: NonNullable<TestParts["stepUp"]>, { findings }: TestContext): StepUp {
  const { acr = [], max_age } = value;
  for (const [index, each] of [acr].flat().entries()) {
    const found = signIn(each);
    if (found === undefined) continue;
    const right = "the whole of it, as the provider's tokens have it";
    const what = `\`${found.sign}\` in an authentication context, which is compared letter by letter`;
    findings.warn(typeof acr === "string" ? place.at("acr") : place.at("acr", index), what, right);
  }
  const [, count, unit] = /^(\d+)([smh])$/.exec(max_age ?? "") ?? [];
  const maxAge = count === undefined ? undefined : Number(count) * MILLISECONDS[unit as keyof typeof MILLISECONDS];
  return { acr: typeof acr === "string" ? [acr] : acr, maxAge };
}

/** Compiles scopes, all of which are required. */
export function compileScopes({ value, place }: NonNullable<TestParts["scopes"]>, { findings }: TestContext): string[] {
  return value.map((scope, index) => {
    if (typeof scope !== "string") return scope.equals;
    const found = signIn(scope);
    if (found !== undefined) {
      findings.text(place.at(index), {
        offset: found.offset,
        found: meaningless(found.sign),
        right: `the whole scope; \`{ equals: ${JSON.stringify(scope)} }\` if it is really called so`,
      });
    }
    return scope;
  });
}

function compileAllow(allow: Given<readonly string[]>, context: TestContext): Test["allow"] {
  const { value, place } = allow;
  for (const word of ["anyone", "authenticated"] as const) {
    if (!value.includes(word)) continue;
    if (value.length > 1) {
      context.findings.fault(
        place.at(value.indexOf(word)),
        `\`${word}\` beside other entries`,
        `\`${word}\` alone, which takes in all others; or the roles without it`,
      );
    }
    return word;
  }
  return allowedRoles(allow, context);
}

/** Roles of which one is enough, each of which somebody who may come here can have. */
export function allowedRoles(allow: Given<readonly string[]>, context: TestContext): Role[] {
  const roles = namedRoles(allow, context);
  for (const [index, role] of roles.entries()) mustBePossible(role, allow.place.at(index), context);
  return roles;
}

function namedRoles(
  { value, place }: Given<readonly string[]>,
  { roles, issuers, findings, used }: TestContext,
): Role[] {
  return value.flatMap((name, index) => {
    const role = roleNamed(name, place.at(index), roles, findings);
    if (role !== undefined) used(role, issuers);
    return role === undefined ? [] : [role];
  });
}

/** A role that nobody who may come here can have is a mistake, not a way to close a route. */
function mustBePossible(role: Role, place: Place, { issuers, findings }: TestContext): void {
  if (!role.whole || !role.issuers.isDisjointFrom(issuers)) return;
  const takes = [...issuers].map((name) => `"${name}"`).join(", ");
  findings.fault(
    place,
    `no principal of this service can have the role "${role.name}": its bindings are for other issuers, kinds or accounts`,
    takes === "" ? "configure an issuer" : `a role with a binding for ${takes}, or more \`issuers\` at the service`,
  );
}

function compileWhen({ value, place }: Given<string>, context: TestContext): Condition | undefined {
  const condition = context.expressions.condition(value);
  if ("offset" in condition) {
    context.findings.text(place, condition);
    return undefined;
  }
  checkCaptures(condition.uses, place, context);
  return condition;
}

/** An expression may name only captures that every pattern of its route has: else it fails for some requests. */
export function checkCaptures(uses: ExpressionUses, place: Place, { captures, findings }: TestContext): void {
  for (const name of uses.params) {
    if (captures.has(name)) continue;
    const has =
      captures.size === 0
        ? "no captures in common"
        : `only ${[...captures].map((each) => `{${each}}`).join(", ")} in common`;
    findings.fault(
      place,
      `\`request.params.${name}\`, but the route's patterns have ${has}`,
      `a capture \`{${name}}\` in each pattern of the route`,
    );
  }
}
