import { type Document, isCollection, isScalar, visit, type YAMLError } from "yaml";
import type { Fault } from "../fault.ts";
import type { SourceText } from "./source-text.ts";

/** Bytes of a file. */
export const LARGEST = 1 << 20;
/** Past these, the file is no YAML at all. */
const MOST_TOLD = 50;

/** What cannot be seen in an editor, and may make a file mean something else than it shows (Trojan Source). */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\u00a0\ufffd](?<![\t\n]|\r(?=\n))/gu;

const DIRECTIVE = { found: "a YAML directive", right: "remove the line, and the --- below it" };

/**
 * Says in a newcomer's words what the parser's messages mean: the first expression that fits counts. $0 stands for the
 * character that is complained of, $1 for what the expression captures.
 */
const WORDS: readonly (readonly [message: RegExp, found: string, right: string])[] = [
  [/^Tabs are not allowed/, "a tab as indentation", "blanks: YAML knows no tabs there"],
  [/^Missing closing ["']quote/, "a quote that is never closed", "close it; a ' within '...' is written twice"],
  [/^Plain value cannot start with .*?(\S)$/, 'a text without quotes that begins with "$1"', "put the text in quotes"],
  [
    /^Missing , (?:or : )?between flow|^Unexpected flow-\S+ at node end/,
    '"$0" where a comma or the end of the list has to be',
    'put a text that holds { } [ ] or , in quotes: "GET /orders/{id}"',
  ],
  [/^Missing space after : in/, '":" without a blank behind it', "a blank behind it, or the text in quotes"],
  [/^Unexpected , in|^Unexpected empty item/, "a comma with nothing before it", "one comma between items"],
  [/must be sufficiently indented and end with a (\S)$/, 'a list or mapping without its "$1"', 'close it with "$1"'],
  [/^Unexpected flow-.*"(.)"$/, 'a "$1" that closes nothing', "remove it, or put the text in quotes"],
  [
    /^Nested mappings are not allowed|^Implicit keys need to be on a single line|^A block sequence may not/,
    'a value that goes on where it has to end: ": " within it, or a line below that does not fit',
    'put a text that holds ": " in quotes; indent the keys of one mapping alike',
  ],
  [
    /must start at the same column$|^Block scalar values in collections must be indented/,
    "a line that is indented neither like the one above nor like its siblings",
    "indent what belongs together alike, and what belongs to a key further than the key",
  ],
  [/^Implicit map keys need to be followed/, 'a key without ":"', "a key, a colon, a blank and its value"],
  [
    /^Unexpected block-seq-ind|^Sequence item without/,
    "a list item where no list is",
    "a list on lines of its own below its key",
  ],
  [
    /^Invalid escape sequence (.*)$/,
    'the escape "$1", which YAML does not know',
    "single quotes, or \\\\ for a backslash",
  ],
  [/^Block scalar header/, "text right behind | or >", "begin the text on the next line"],
  [/^Source contains multiple documents/, "a second document", 'one document a file: remove the "---"'],
  [/tag|Tags/, "a YAML tag", "the value without it; put a text that begins with ! in quotes"],
  [/directive/, DIRECTIVE.found, DIRECTIVE.right],
  [/^Maximum call stack/, "too many levels of nesting", "nest less deeply"],
  [
    /^Unexpected scalar at node end/,
    '"$0" behind the end of a value, or on a line that is indented unlike its siblings',
    "put the whole text in quotes; indent the keys of one mapping alike",
  ],
];

/** What makes a text unfit to be parsed at all. */
export function textFaults(source: SourceText): readonly Fault[] {
  const { text } = source;
  const size = Buffer.byteLength(text);
  if (size > LARGEST) return [source.fault(0, `a file of ${size} bytes`, `at most ${LARGEST} bytes`)];
  return onePerLine([...text.matchAll(INVISIBLE)].map(({ 0: character, index }) => unfit(character, index, source)));
}

function unfit(character: string, index: number, source: SourceText): Fault {
  if (character === "\ufffd") return source.fault(index, "bytes that are not UTF-8", "save the file as UTF-8");
  if (character === "\ufeff" && index === 0) return source.fault(0, "a byte order mark", "save the file without one");
  const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
  const right = "remove it, or write it as an escape within double quotes";
  return source.fault(index, `an invisible character, U+${code}`, right);
}

/** What the parser did not understand. What it says of the rest of a line follows from the first. */
export function syntaxFaults(document: Document, source: SourceText): readonly Fault[] {
  const all = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0]);
  const exhausted = all.find(({ code }) => code === "RESOURCE_EXHAUSTION");
  const errors = exhausted === undefined ? all.slice(0, MOST_TOLD) : [exhausted];
  const faults = errors.map((error) => syntaxFault(error, document, source));
  if (document.directives?.yaml.explicit) faults.push(source.fault(0, DIRECTIVE.found, DIRECTIVE.right));
  return onePerLine(faults.sort((a, b) => a.line - b.line || a.column - b.column));
}

function syntaxFault({ message, pos }: YAMLError, document: Document, source: SourceText): Fault {
  const unclosed = /^Missing closing|must be sufficiently indented/.test(message);
  const offset = unclosed ? opening(pos[0], document) : pos[0];
  const character = String.fromCodePoint(source.text.codePointAt(offset) ?? 0x20);
  for (const [expression, found, right] of WORDS) {
    const match = expression.exec(message);
    if (match === null) continue;
    const filled = (text: string) => text.replaceAll("$0", character).replaceAll("$1", match[1] ?? "");
    return source.fault(offset, filled(found), filled(right));
  }
  return source.fault(offset, "what YAML does not allow here", `to the YAML parser it is: ${message}`);
}

/** The parser misses the end where it gave up; the reader has to look where the quote or bracket was opened. */
function opening(end: number, document: Document): number {
  let start = end;
  visit(document, (_, node) => {
    const closable = (isScalar(node) && node.type?.startsWith("QUOTE")) || (isCollection(node) && node.flow);
    if (!closable || node.range == null) return;
    if (node.range[0] < end && end <= node.range[2]) start = node.range[0];
  });
  return start;
}

function onePerLine(faults: readonly Fault[]): readonly Fault[] {
  return faults.filter(({ line }, index) => faults[index - 1]?.line !== line);
}
