import type { Type } from "@bufbuild/cel-spec/cel/expr/checked_pb.js";
import type { Value } from "@bufbuild/cel-spec/cel/expr/value_pb.js";
import {
  getConformanceSuite,
  type IncrementalTest,
  type IncrementalTestSuite,
} from "@bufbuild/cel-spec/testdata/tests.js";
import { type Any, anyUnpack, DurationSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { Duration, UnsignedInt } from "@marcbachmann/cel-js/evaluator";
import { test } from "tap";
import { parse } from "../../policies/cel/conditions.ts";
import { faultOf } from "../../policies/cel/fault.ts";
import { LANGUAGE } from "../../policies/cel/language.ts";
import { Work } from "../../policies/cel/work.ts";

/** Suites on what policies offer. The others are on protobuf messages, optionals, and extensions but that of strings. */
const SUITES = [
  "basic",
  "comparisons",
  "conversions",
  "fields",
  "fp_math",
  "integer_math",
  "lists",
  "logic",
  "macros",
  "parse",
  "plumbing",
  "string",
  "string_ext",
  "timestamps",
];

/** How many cases had CEL's result or CEL's error, were refused or differ, and how many speak of messages or enums. */
const COUNTS = {
  result: 603,
  error: 33,
  "error at load": 117,
  refused: 600,
  differs: 14,
  inexpressible: 18,
};

/**
 * Why a policy that holds such an expression does not load although CEL gives it a value, by what the fault says, and
 * for how many cases. A refusal lets nobody in.
 */
const REFUSALS: readonly (readonly [reason: string, found: RegExp, cases: number])[] = [
  ["a number with a fraction or exponent that a double does not keep", /has to be rounded/, 22],
  ["bytes and unsigned integers are not offered: claims hold neither", /bytes or an unsigned integer/, 224],
  ["the function is not offered, or not with these arguments", /unknown function|no function/, 184],
  ["protobuf messages are not offered", /unexpected `\{`/, 75],
  ["keys of map literals are strings written out", /key that is not a string/, 35],
  [
    "names in backquotes, raw bytes, form feeds, numbers that begin with a dot are not offered",
    /unexpected `[`.'"\f]/,
    21,
  ],
  [
    "the smallest integer cannot be written: the library lets its negation overflow",
    /the integer 9223372036854775808/,
    8,
  ],
  ["lists and maps that are written out have members of one type", /must have the same type, e|uses wrong type/, 12],
  ["types are checked before anything is evaluated", /^no operator|logical operator|ternary/, 8],
  ["there are no variables but request and principal, and no qualified names", /unknown variable/, 5],
  [
    "durations are not added to each other, nor timestamps to them: the library gets it wrong",
    /duration on the left/,
    3,
  ],
  ["has() takes a field of a variable only", /has\(\) invalid argument/, 3],
];

const ROUNDED = "beyond 2^53 a double may have been rounded, and is not converted";
const MILLISECONDS = "timestamps hold milliseconds; digits behind them are cut off";
const BEYOND = "what a timestamp and a duration come to has no bound; it is the instant that it should be";

/**
 * Where the result is another than CEL's, and why. Some are a value where CEL has an error: those concern dates of the
 * years 0 and 10000 only.
 */
const DIFFERENCES: Readonly<Record<string, { readonly result: string; readonly reason: string }>> = {
  "conversions/double/int_max_exact": { result: "an error", reason: ROUNDED },
  "conversions/double/int_min_exact": { result: "an error", reason: ROUNDED },
  "conversions/double/int_range": { result: "an error", reason: ROUNDED },
  "conversions/double/string_exp_pos_pos": { result: "an error", reason: ROUNDED },
  "conversions/int/double_big_exact": { result: "an error", reason: ROUNDED },
  "conversions/int/double_big_precision": { result: "an error", reason: ROUNDED },
  "timestamps/timestamp_conversions/toString_timestamp_nanos": {
    result: '"9999-12-31T23:59:59.999Z"',
    reason: MILLISECONDS,
  },
  "timestamps/timestamp_arithmetic/add_time_to_duration_nanos_positive": { result: "false", reason: MILLISECONDS },
  "timestamps/timestamp_range/add_duration_nanos_over": {
    result: "timestamp 9999-12-31T23:59:59.999Z",
    reason: MILLISECONDS,
  },
  "timestamps/timestamp_range/add_duration_nanos_under": {
    result: "timestamp 0000-12-31T23:59:59.999Z",
    reason: BEYOND,
  },
  "timestamps/timestamp_range/add_duration_under": { result: "timestamp 0000-12-31T23:59:59.000Z", reason: BEYOND },
  "timestamps/timestamp_range/add_duration_over": { result: "timestamp +010000-01-01T00:00:00.000Z", reason: BEYOND },
  "timestamps/timestamp_range/sub_time_duration_over": { result: "duration 315537897598.999986176s", reason: BEYOND },
  "timestamps/timestamp_range/sub_time_duration_under": {
    result: "duration -3155378975980.999986176s",
    reason: BEYOND,
  },
};

type Outcome =
  | { readonly kind: "result" | "error" | "error at load" | "inexpressible" }
  | { readonly kind: "refused"; readonly found: string }
  | { readonly kind: "differs"; readonly result: string };

/** A case that speaks of protobuf messages or enums. */
class Inexpressible extends Error {}

function outcomeOf({ original }: IncrementalTest): Outcome {
  const { expr, typeEnv, bindings, resultMatcher } = original;
  const environment = LANGUAGE.clone();
  const activation: Record<string, unknown> = {};
  let expected: unknown;
  try {
    for (const { name, declKind } of typeEnv) {
      if (declKind.case !== "ident") throw new Inexpressible();
      environment.registerVariable(name, typeName(declKind.value.type));
    }
    for (const [name, { kind }] of Object.entries(bindings)) {
      if (kind.case !== "value") throw new Inexpressible();
      activation[name] = jsOf(kind.value);
    }
    expected = expectedOf(resultMatcher);
  } catch (error) {
    if (error instanceof Inexpressible) return { kind: "inexpressible" };
    throw error;
  }
  return compare(expected, () => parse(expr, environment, "condition", []), activation);
}

const ERROR = Symbol("an error");

function compare(expected: unknown, load: () => ReturnType<typeof parse>, activation: object): Outcome {
  let program: ReturnType<typeof parse>;
  try {
    program = load();
  } catch (error) {
    return expected === ERROR ? { kind: "error at load" } : { kind: "refused", found: faultOf(error).found };
  }
  let result: unknown = ERROR;
  try {
    result = program.run(activation, new Work());
  } catch {}
  if (!same(result, expected)) return { kind: "differs", result: textOf(result) };
  return { kind: expected === ERROR ? "error" : "result" };
}

function expectedOf(matcher: IncrementalTest["original"]["resultMatcher"]): unknown {
  switch (matcher.case) {
    case undefined:
      return true;
    case "value":
      return jsOf(matcher.value);
    case "evalError":
    case "anyEvalErrors":
      return ERROR;
    default:
      throw new Inexpressible();
  }
}

const PRIMITIVES = ["", "bool", "int", "uint", "double", "string", "bytes"];
const WELL_KNOWN = ["", "dyn", "google.protobuf.Timestamp", "google.protobuf.Duration"];

function typeName(type: Type | undefined): string {
  const kind = type?.typeKind;
  switch (kind?.case) {
    case "primitive":
      return PRIMITIVES[kind.value] ?? "";
    case "wellKnown":
      return WELL_KNOWN[kind.value] ?? "";
    case "dyn":
      return "dyn";
    case "null":
      return "null";
    case "type":
      return "type";
    case "listType":
      return `list<${typeName(kind.value.elemType)}>`;
    case "mapType":
      return `map<${typeName(kind.value.keyType)}, ${typeName(kind.value.valueType)}>`;
    default:
      throw new Inexpressible();
  }
}

function jsOf({ kind }: Value): unknown {
  switch (kind.case) {
    case "nullValue":
      return null;
    case "uint64Value":
      return new UnsignedInt(kind.value);
    case "listValue":
      return kind.value.values.map(jsOf);
    case "mapValue":
      return new Map(kind.value.entries.map(({ key, value }) => [jsOf(key as Value), jsOf(value as Value)]));
    case "objectValue":
      return momentOf(kind.value);
    case "typeValue":
      return { type: kind.value };
    case "boolValue":
    case "stringValue":
    case "doubleValue":
    case "int64Value":
    case "bytesValue":
      return kind.value;
    default:
      throw new Inexpressible();
  }
}

function momentOf(any: Any): unknown {
  const timestamp = anyUnpack(any, TimestampSchema);
  if (timestamp !== undefined) return new Date(Number(timestamp.seconds) * 1000 + Math.floor(timestamp.nanos / 1e6));
  const duration = anyUnpack(any, DurationSchema);
  if (duration !== undefined) return new Duration(duration.seconds, duration.nanos);
  throw new Inexpressible();
}

function same(result: unknown, expected: unknown): boolean {
  return result === expected || textOf(result) === textOf(expected);
}

/** A value with its CEL type; the members of a map sorted, so that equal ones have equal texts. */
function textOf(value: unknown): string {
  if (value === ERROR) return "an error";
  if (typeof value === "bigint") return `int ${value}`;
  if (typeof value === "number") return `double ${Object.is(value, -0) ? "-0" : value}`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (value instanceof Date) return `timestamp ${value.toISOString()}`;
  if (value instanceof Duration) return `duration ${value}`;
  if (value instanceof UnsignedInt) return `uint ${value}`;
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString("hex")}`;
  if (Array.isArray(value)) return `[${value.map(textOf).join()}]`;
  if ("type" in value && typeof value.type === "string") return `type ${value.type}`;
  if (value.constructor.name === "Type")
    return `type ${(value as unknown as { name: string }).name.replace(/^null$/, "null_type")}`;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return `{${entries
    .map(([key, member]) => `${textOf(key)}: ${textOf(member)}`)
    .sort()
    .join()}}`;
}

function* casesOf(suite: IncrementalTestSuite, path: string): Generator<readonly [string, IncrementalTest]> {
  for (const each of suite.tests) yield [`${path}/${each.name}`, each];
  for (const inner of suite.suites) yield* casesOf(inner, `${path}/${inner.name}`);
}

const outcomes = getConformanceSuite()
  .suites.filter(({ name }) => SUITES.includes(name))
  .flatMap((suite) => [...casesOf(suite, suite.name)])
  .map(([name, each]) => ({ name, expr: each.original.expr, outcome: outcomeOf(each) }));

test("1385 conformance cases of CEL ran in the policies' language: what became of each is known", (t) => {
  const counts: Record<string, number> = {};
  for (const { outcome } of outcomes) counts[outcome.kind] = (counts[outcome.kind] ?? 0) + 1;
  t.equal(outcomes.length, 1385);
  t.strictSame(counts, COUNTS);
  t.end();
});

test("a case that policies cannot hold is refused when they load, for a reason that is known", (t) => {
  const counts = new Map<string, number>();
  for (const { name, expr, outcome } of outcomes) {
    if (outcome.kind !== "refused") continue;
    const reason = REFUSALS.find(([, found]) => found.test(outcome.found))?.[0];
    if (reason === undefined) t.fail(`${name}: ${expr}: ${outcome.found}`);
    else counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  for (const [reason, , cases] of REFUSALS) t.equal(counts.get(reason), cases, reason);
  t.end();
});

test("a result that is not CEL's is listed with its reason, and is the one listed", (t) => {
  const differences = outcomes.flatMap(({ name, outcome }) =>
    outcome.kind === "differs" ? [[name, outcome.result]] : [],
  );
  const listed = Object.entries(DIFFERENCES).map(([name, { result }]) => [name, result]);
  t.strictSame(differences.sort(), listed.sort());
  t.end();
});
