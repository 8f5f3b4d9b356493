import { PatternError } from "./inexpressible.ts";
import type { Pattern, Segment } from "./input.ts";
import { ANY, otherThan, type Raw, rawLiteral, rawSegment } from "./segments.ts";

/**
 * The raw paths that a pattern takes and none of the others does, as alternatives.
 *
 * @param others patterns whose paths all lie within the pattern's
 * @throws PatternError where no expression says it
 */
export function pathsOf(pattern: Pattern, others: readonly Pattern[]): readonly Raw[] {
  return [
    ...difference(
      { expression: "", plain: "" },
      pattern.segments,
      others.map(({ segments }) => segments),
    ),
  ];
}

/** What is left of a pattern, or of one to be taken out, behind the segments before. */
type Tail = readonly Segment[];

function* difference(lead: Raw, own: Tail, others: readonly Tail[]): Generator<Raw> {
  const [segment, ...more] = own;
  if (others.some(([first]) => first?.kind === "rest")) return;
  if (segment === undefined) {
    if (!others.some((other) => other.length === 0)) yield lead;
  } else if (segment.kind === "rest") yield* restOf(lead, own, others);
  else if (segment.kind === "literal") {
    const left = others.flatMap((other) => behind(other, segment.value));
    yield* difference(joined(lead, rawLiteral(segment.value)), more, left);
  } else yield* wildcardOf(lead, segment, more, others);
}

function* restOf(lead: Raw, own: Tail, others: readonly Tail[]): Generator<Raw> {
  if (others.length === 0) {
    yield { expression: `${lead.expression}(?:/${ANY})*/?`, plain: undefined };
    return;
  }
  // Nothing more, one empty segment, or a segment and then the rest.
  if (lead.expression !== "" && !others.some((other) => other.length === 0)) yield lead;
  if (!others.some(([first]) => first?.kind === "literal" && first.value === "")) yield joined(lead, rawLiteral(""));
  yield* wildcardOf(lead, { kind: "one", expression: undefined }, own, others);
}

function* wildcardOf(
  lead: Raw,
  segment: Extract<Segment, { kind: "one" }>,
  more: Tail,
  others: readonly Tail[],
): Generator<Raw> {
  const { expression } = segment;
  const literals = new Set(others.flatMap(([first]) => (first?.kind === "literal" ? first.value : [])));
  const fitting = [...literals].filter((value) => value !== "" && (expression?.matches(value) ?? true)).sort();
  for (const value of fitting) {
    yield* difference(
      joined(lead, rawLiteral(value)),
      more,
      others.flatMap((other) => behind(other, value)),
    );
  }
  const left = others.flatMap((other) => behindAny(other, expression?.text));
  if (expression !== undefined && fitting.length > 0) {
    throw new PatternError(`\`${expression.text}\` without ${JSON.stringify(fitting[0])}`);
  }
  const raws = fitting.length === 0 ? [rawSegment(segment).expression] : otherThan(fitting);
  for (const raw of raws) yield* difference(joined(lead, { expression: raw, plain: undefined }), more, left);
}

/** What is left behind a segment with this value; nothing where the pattern has another there. */
function behind([first, ...more]: Tail, value: string): readonly Tail[] {
  if (first?.kind === "literal") return first.value === value ? [more] : [];
  return first?.kind === "one" && value !== "" && (first.expression?.matches(value) ?? true) ? [more] : [];
}

/** The same behind a segment that is none of the literals. */
function behindAny([first, ...more]: Tail, within: string | undefined): readonly Tail[] {
  if (first?.kind !== "one") return [];
  if (first.expression !== undefined && first.expression.text !== within) {
    throw new PatternError(`a segment without what \`${first.expression.text}\` matches`);
  }
  return [more];
}

function joined(lead: Raw, next: Raw): Raw {
  const both = lead.plain !== undefined && next.plain !== undefined;
  return {
    expression: `${lead.expression}/${next.expression}`,
    plain: both ? `${lead.plain}/${next.plain}` : undefined,
  };
}

/** Whether all paths of one pattern lie within those of another. */
export function isWithin({ segments: inner }: Pattern, { segments: outer }: Pattern): boolean {
  for (const [index, segment] of outer.entries()) {
    if (segment.kind === "rest") return true;
    const own = inner[index];
    if (own === undefined || own.kind === "rest" || !covers(segment, own)) return false;
  }
  return inner.length === outer.length;
}

function covers(outer: Segment, inner: Segment): boolean {
  if (outer.kind === "literal") return inner.kind === "literal" && inner.value === outer.value;
  if (outer.kind === "rest") return true;
  if (inner.kind === "literal") return inner.value !== "" && (outer.expression?.matches(inner.value) ?? true);
  const same = inner.kind === "one" && inner.expression?.text === outer.expression?.text;
  return inner.kind === "one" && (outer.expression === undefined || same);
}
