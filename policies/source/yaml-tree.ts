import { isAlias, isMap, isScalar, isSeq, type Node, type Pair, type Scalar, type YAMLMap, type YAMLSeq } from "yaml";
import type { Fault } from "../fault.ts";
import { exactNumber } from "../number.ts";
import type { SourceText } from "./source-text.ts";

/** Keys and indices that lead from the whole to a value. */
export type Path = readonly (string | number)[];

/** A value and where it is written. Offsets are in UTF-16 code units. */
export interface Spot {
  readonly value: unknown;
  readonly start: number;
  readonly end: number;
  /** Where the key that leads to it begins; a list's items and the whole have none. */
  readonly key: number | undefined;
  readonly style: Scalar.Type | undefined;
  /** The text as the file has it, where the value is another. */
  readonly written?: string;
  /** By key or index. */
  readonly children: ReadonlyMap<string | number, Spot>;
}

const DEEPEST = 32;
const NO_CHILDREN = new Map<string | number, Spot>();

interface Walk {
  readonly source: SourceText;
  readonly faults: Fault[];
}

/** A copy of the tree with other texts. */
export function replaceTexts(spot: Spot, path: Path, replace: (text: string, path: Path) => string): Spot {
  if (typeof spot.value === "string") {
    const value = replace(spot.value, path);
    return value === spot.value ? spot : { ...spot, value, written: spot.value };
  }
  if (spot.children.size === 0) return spot;
  const entries = [...spot.children].map(
    ([step, child]) => [step, replaceTexts(child, [...path, step], replace)] as const,
  );
  const values = entries.map(([step, { value }]) => [step, value] as const);
  const value = Array.isArray(spot.value) ? values.map(([, item]) => item) : Object.fromEntries(values);
  return { ...spot, value, children: new Map(entries) };
}

/** Makes plain values of a parsed file, and tells of what YAML allows and these files do not. */
export function readTree(root: Node | null, source: SourceText, faults: Fault[]): Spot {
  return spotOf(root, undefined, 0, 0, { source, faults });
}

function spotOf(node: unknown, key: number | undefined, fallback: number, depth: number, walk: Walk): Spot {
  const [start, end] = (node as Node | null)?.range ?? [fallback, fallback, fallback];
  const spot = { start, end, key, style: undefined, children: NO_CHILDREN };
  checkProperties(node, start, walk);
  if (depth > DEEPEST) {
    walk.faults.push(walk.source.fault(start, `more than ${DEEPEST} levels of nesting`, "nest less deeply"));
    return { ...spot, value: null };
  }
  if (isMap(node)) return { ...spot, ...mapping(node, depth, walk) };
  if (isSeq(node)) return { ...spot, ...list(node, depth, walk) };
  if (!isScalar(node)) return { ...spot, value: null };
  checkComment(node, end, walk);
  const value = typeof node.value === "number" ? numberOf(node, start, walk) : node.value;
  return { ...spot, value, style: node.type };
}

function mapping(node: YAMLMap, depth: number, walk: Walk) {
  const children = new Map<string | number, Spot>();
  for (const pair of node.items) {
    const start = (pair.key as Node | null)?.range?.[0] ?? node.range?.[0] ?? 0;
    const key = keyOf(pair, start, walk);
    if (key === undefined) continue;
    const child = spotOf(pair.value, start, start, depth + 1, walk);
    const first = children.get(key);
    if (first === undefined) children.set(key, child);
    else {
      const found = `the key ${JSON.stringify(key)} a second time`;
      const right = `keep one; the first is at ${walk.source.place(first.key ?? first.start)}`;
      walk.faults.push(walk.source.fault(start, found, right));
    }
  }
  return { value: Object.fromEntries([...children].map(([key, { value }]) => [key, value])), children };
}

/** A number or `null` as a key would be a text for one reader and something else for the next. */
function keyOf({ key }: Pair, start: number, walk: Walk): string | undefined {
  if (isScalar(key) && typeof key.value === "string") {
    checkProperties(key, start, walk);
    if (key.value !== "__proto__") return key.value;
    walk.faults.push(walk.source.fault(start, 'the key "__proto__"', "another name"));
    return undefined;
  }
  if (isAlias(key)) {
    checkProperties(key, start, walk);
    return undefined;
  }
  const found =
    isScalar(key) && key.source !== "" ? `the key ${key.source}, which is no text` : "a key that is no text";
  walk.faults.push(walk.source.fault(start, found, "put the key in quotes"));
  return undefined;
}

function list(node: YAMLSeq, depth: number, walk: Walk) {
  const items = node.items.map((item) => spotOf(item, undefined, node.range?.[0] ?? 0, depth + 1, walk));
  return { value: items.map(({ value }) => value), children: new Map(items.map((spot, index) => [index, spot])) };
}

/** Without aliases every value stands where it counts, a file is as large as it looks, and `*.example.com` is noticed. */
function checkProperties(node: unknown, start: number, { source, faults }: Walk): void {
  if (isAlias(node)) {
    const found = `"*${node.source}" without quotes, which to YAML is an alias`;
    faults.push(source.fault(start, found, `put a text that begins with * in quotes: "*${node.source}"`));
    return;
  }
  const { anchor, tag } = (node ?? {}) as { anchor?: string; tag?: string };
  if (anchor !== undefined) {
    const found = `"&${anchor}" without quotes, which to YAML is an anchor`;
    const right = "put a text that begins with & in quotes; there are no anchors here";
    faults.push(source.fault(source.text.lastIndexOf("&", start), found, right));
  }
  if (tag !== undefined) {
    const right = "the value without it; put a text that begins with ! in quotes";
    faults.push(source.fault(source.text.lastIndexOf("!", start), "a YAML tag", right));
  }
}

/** `3.0` is 3 and `0600` is 600: what a number means must be what it looks like, to the last digit. */
function numberOf({ source = "" }: Scalar, start: number, { source: text, faults }: Walk): number | bigint {
  const value = exactNumber(source);
  if (source === String(value)) return value ?? 0;
  const is = value === undefined ? "a number that cannot be kept exactly" : `the number ${value}`;
  const right = `"${source}" in quotes, or a plain decimal number${value === undefined ? " of at most 64 bits" : ""}`;
  faults.push(text.fault(start, `${source} without quotes, which to YAML is ${is}`, right));
  return value ?? 0;
}

/** A comment that begins right behind its `#`, as a name goes on: honest ones have a blank there. */
const CUT = /[ \t]+(#+[^\s#]\S*)/y;

/** YAML cuts `Team #1` to `Team`, which may be another's name. */
function checkComment(node: Scalar, end: number, { source, faults }: Walk): void {
  if (node.type !== "PLAIN" || typeof node.value !== "string") return;
  CUT.lastIndex = end;
  const [cut, comment = ""] = CUT.exec(source.text) ?? [];
  if (cut === undefined) return;
  const found = `"${comment}" behind a text without quotes, which to YAML is a comment`;
  const right = "the whole text in quotes if it belongs to it; a comment has a blank behind its #";
  faults.push(source.fault(end + cut.length - comment.length, found, right));
}
