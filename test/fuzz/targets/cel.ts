import { isDeepStrictEqual } from "node:util";
import {
  type Condition,
  compileCondition,
  compileHeader,
  conjunctsOf,
  type ExpressionInput,
  Work,
} from "../../../policies/cel/conditions.ts";
import type { TextFault } from "../../../policies/fault.ts";
import { principalFrom } from "../../support/policies.ts";
import { mutatedText } from "../mutate.ts";
import type { Random } from "../random.ts";
import { hold, type Target } from "../target.ts";

const NOW = Date.UTC(2026, 10, 28, 12);
const INPUT: ExpressionInput = {
  request: {
    method: "GET",
    host: "orders.example.com",
    path: "/v1/orders/42",
    query: "a=b",
    src: "192.0.2.1",
    tls: true,
    headers: { "x-tenant": "emea" },
    time: NOW,
  },
  params: { id: "42" },
  principal: principalFrom({
    groups: ["a", "b"],
    scopes: ["orders:read"],
    claims: {
      tenant: "emea",
      amr: ["pwd", "mfa"],
      level: 3,
      share: 0.5,
      admin: true,
      nothing: null,
      org: { unit: { name: "sales" } },
      mixed: ["a", 1, null],
      big: 2n ** 60n,
    },
    actor: [{ subject: "agent-7", issuer: undefined }],
    authenticatedAt: NOW - 60_000,
    expiresAt: NOW + 60_000,
  }),
  roles: ["reader"],
};

/** Pieces of expressions by their types, to make others of. */
const BOOLS = [
  ...[
    'request.method == "GET"',
    "request.tls",
    '"mfa" in principal.claims.amr',
    "principal.claims.admin",
    "true",
    "has(principal.claims.tenant)",
    'request.path.matches("^/v1/[a-z]+/[0-9]+$")',
  ],
  ...[
    "principal.claims.level > 2",
    "principal.claims.share == 0.5",
    'principal.claims.org.unit.name == "sales"',
    "principal.claims.absent",
    "1 / 0 == 1",
    'principal.groups.exists(g, g == "a")',
  ],
  ...[
    'request.headers["x-tenant"] == "emea"',
    'request.src in ["192.0.2.0/24"]',
    "request.time < principal.expires_at",
    "principal.claims.nothing == null",
    'principal.roles == ["reader"]',
    "principal.claims.mixed.all(m, m != 2)",
    "size(principal.claims.amr) == 2",
    "principal.claims.big > 5",
  ],
];
const WORDS = [
  ...[
    "&&",
    "||",
    "!",
    "==",
    "!=",
    "<",
    ">=",
    "in",
    "+",
    "-",
    "*",
    "/",
    "%",
    "?",
    ":",
    "(",
    ")",
    "[",
    "]",
    ".",
    ",",
    "{",
    "}",
  ],
  ...[
    "principal",
    "request",
    ".claims",
    ".amr",
    ".size()",
    ".exists(x, x)",
    ".all(x, true)",
    ".map(x, x)",
    ".filter(x, x)",
    ".matches('a')",
    ".split('/')",
    "has(",
    "int(",
    "string(",
    "duration('1h')",
    "timestamp('2026-01-01T00:00:00Z')",
  ],
  ...[
    "null",
    "true",
    "1",
    "-1",
    "1.5",
    "9223372036854775807",
    "-9223372036854775808",
    "1u",
    "b'a'",
    "'\\u0000'",
    '"x"',
    "[1, 2, 3]",
    "{'a': 1}",
    "list(",
    "json(",
    "__proto__",
    "constructor",
  ],
];

function expressionOf(random: Random): string {
  let text = random.pick(BOOLS);
  for (let n = random.below(4); n > 0; n--) {
    const other = random.pick(BOOLS);
    text = random.pick([
      `${text} && ${other}`,
      `${text} || ${other}`,
      `!(${text})`,
      `(${text}) == (${other})`,
      `(${text}) ? (${other}) : (${random.pick(BOOLS)})`,
    ]);
  }
  return random.once(2) ? text : mutatedText(text, random, { others: BOOLS, words: WORDS, most: 3 });
}

type Came = { readonly value: boolean } | { readonly error: true } | { readonly exhausted: true };

function cameOf(condition: Condition): Came {
  const work = new Work();
  try {
    const value = condition.evaluate(INPUT, work);
    hold(typeof value === "boolean", "neither true nor false");
    hold(!work.exhausted, "a value for more work than there was");
    return { value };
  } catch (error) {
    hold(error instanceof Error && error.name !== "Wrong", () => String(error));
    return work.exhausted ? { exhausted: true } : { error: true };
  }
}

/** The same in other words: what CEL says of `&&`, `||`, `!` and `?:` with a value, and with an error. */
const SAME: readonly ((text: string) => string)[] = [
  (text) => `(${text})`,
  (text) => `!!(${text})`,
  (text) => `(${text}) && true`,
  (text) => `false || (${text})`,
  (text) => `(${text}) ? true : false`,
  (text) => `[true, false].exists(aaa, aaa && (${text}))`,
];

export const CEL: Target = {
  name: "cel",
  oracle:
    "Conditions and header values: an expression compiles or has a fault at a place in it; what compiles comes to the same twice, and to the same in other words (`(e)`, `!!e`, `e && true`, `false || e`, `e ? true : false`, within `exists`); the parts that `&&` joins are all true exactly where it is; no value for more work than a decision has",
  tested: 700,
  share: 80,
  reaches: ["true", "false", "error", "fault"],
  open: () => ({
    input: (random) => Buffer.from(expressionOf(random)),
    check(input) {
      const text = input.toString();
      header(text);
      const condition = compileCondition(text, ["authorization"]);
      if ("offset" in condition) return faulty(condition, text);
      const came = cameOf(condition);
      hold(isDeepStrictEqual(cameOf(condition), came), "it comes to something else the second time");
      if ("exhausted" in came) return "exhausted";
      for (const words of SAME) {
        const same = compileCondition(words(text), ["authorization"]);
        // A comment at its end, or one nesting too many.
        if ("offset" in same) continue;
        const other = cameOf(same);
        if ("exhausted" in other) continue;
        hold(
          isDeepStrictEqual(other, came),
          () => `${words("e")} comes to ${JSON.stringify(other)}, and not ${JSON.stringify(came)}`,
        );
      }
      joined(condition, came);
      return "value" in came ? String(came.value) : "error";
    },
  }),
};

function joined(condition: Condition, came: Came): void {
  const parts = conjunctsOf(condition).map(cameOf);
  if (parts.some((part) => "exhausted" in part)) return;
  const all = parts.every((part) => "value" in part && part.value);
  hold(all === ("value" in came && came.value), "its parts say something else");
}

function header(text: string): void {
  const expression = compileHeader(text, ["authorization"]);
  if ("offset" in expression) faulty(expression, text);
  else {
    try {
      const value = expression.evaluate(INPUT, new Work());
      hold(value === undefined || typeof value === "string", "a header that is no text");
    } catch (error) {
      hold(error instanceof Error && error.name !== "Wrong", () => String(error));
    }
  }
}

function faulty({ offset, found, right }: TextFault, text: string): string {
  hold(offset >= 0 && offset <= text.length, `a fault at ${offset} of ${text.length}`);
  hold(found !== "" && right !== "", "a fault without words");
  return "fault";
}
