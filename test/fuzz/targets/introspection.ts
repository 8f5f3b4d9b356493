import type { Send } from "../../../agent/http/fetch.ts";
import { createIdentity } from "../../../agent/identity/identity.ts";
import type { IntrospectionIssuer } from "../../../agent/identity/introspection/section.ts";
import { UNHEARD } from "../../../agent/identity/issuer/events.ts";
import { Clockwork } from "../../support/clockwork.ts";
import { oidcIssuer } from "../../support/identity.ts";
import { mutatedJson, spelled } from "../mutate.ts";
import { hold, type Target } from "../target.ts";
import { NOW } from "./signing-keys.ts";

const ISSUER = "https://idp.example.com";
const GOOD = {
  active: true,
  token_type: "Bearer",
  iss: ISSUER,
  sub: "alice",
  aud: "api://orders",
  exp: NOW / 1000 + 60,
  iat: NOW / 1000,
  groups: ["a"],
  scope: "a b",
};
const ANSWERS: readonly unknown[] = [
  GOOD,
  { ...GOOD, active: false },
  { ...GOOD, active: "true" },
  { ...GOOD, aud: ["x", "api://orders"], cnf: { jkt: "x" } },
  [GOOD],
  { active: true },
];
const STATUSES = [200, 200, 200, 200, 200, 201, 401, 500];
const TYPES = [
  ...Array(8).fill("application/json"),
  "Application/JSON; charset=utf-8",
  "text/html",
  "application/jwt",
  "",
] as readonly string[];

function issuer(): IntrospectionIssuer {
  const { tokenTypes: _types, idTokens: _idTokens, ...shared } = oidcIssuer(ISSUER);
  const authentication = { method: "client_secret_basic", secret: "secret" } as const;
  return {
    ...shared,
    type: "introspection",
    tokens: "opaque",
    prefix: undefined,
    prefixes: [""],
    endpoint: `${ISSUER}/introspect`,
    client: { id: "gateway", authentication, certificate: undefined },
    answers: "plain",
    untyped: "refuse",
    lifetime: 60_000,
    timeout: 5_000,
    maxSize: 1 << 20,
    concurrency: 16,
  };
}

export const INTROSPECTION: Target = {
  name: "introspection",
  oracle:
    "Answers of introspection endpoints: nobody is proven but by status 200 and JSON whose `active` is true, whose audience, issuer and times fit to JSON.parse, with the subject that stands there",
  tested: 1_000,
  share: 100,
  reaches: ["proven", "token-inactive", "issuer-unavailable"],
  open() {
    const time = new Clockwork(NOW);
    let answer: Awaited<ReturnType<Send>> = { status: 500, headers: {}, body: Buffer.alloc(0) };
    const identity = createIdentity([issuer()], {
      cache: { identities: 1000, lifetime: 300_000, refusals: 100 },
      limits: { token: 8192, fetches: 1 },
      send: async () => answer,
      clock: time.clock,
      schedule: time.schedule,
      events: UNHEARD,
    });
    let asked = 0;
    return {
      input(random) {
        const head = Buffer.of(random.below(STATUSES.length) + 8 * random.below(TYPES.length));
        const body = spelled(
          random.once(4) ? random.pick(ANSWERS) : mutatedJson(random.once(2) ? GOOD : random.pick(ANSWERS), random, 2),
          random,
        );
        return Buffer.concat([head, Buffer.from(body)]);
      },
      async check(input) {
        const [head = 0] = input;
        const body = input.subarray(1);
        const status = STATUSES[head % 8] ?? 500;
        answer = { status, headers: { "content-type": TYPES[(head >> 3) % TYPES.length] }, body };
        const verification = await identity.verify(`opaque-${asked++}`, NOW);
        if (verification.principal === undefined) {
          hold(verification.reason !== "agent-error", "agent-error");
          return verification.reason;
        }
        const { active, aud, exp, iss = ISSUER, sub, cnf } = JSON.parse(body.toString());
        hold(status === 200 && active === true, "proven without being active");
        hold([aud].flat().includes("api://orders") && (iss === null || iss === ISSUER), "for somebody else");
        hold(typeof exp === "number" && NOW < exp * 1000 + 30_000 && cnf === undefined, "ended, or bound to a key");
        hold(verification.principal.subject === sub && typeof sub === "string", "somebody else");
        return "proven";
      },
      close: () => identity.close(),
    };
  },
};
