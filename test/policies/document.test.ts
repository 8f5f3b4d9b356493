import { test } from "tap";
import { faultText } from "../../policies/fault.ts";
import { readDocument, type SourceDocument } from "../../policies/source/document.ts";

function read(text: string): SourceDocument {
  const document = readDocument("f", text);
  if (!("value" in document)) throw new Error(document.map(faultText).join("\n"));
  return document;
}

function faults(text: string): readonly string[] {
  const document = readDocument("f", text);
  return "value" in document ? [] : document.map(faultText);
}

const INDENTED = "indent what belongs together alike, and what belongs to a key further than the key";
const GOES_ON = 'a value that goes on where it has to end: ": " within it, or a line below that does not fit';
const GOES_ON_RIGHT = 'put a text that holds ": " in quotes; indent the keys of one mapping alike';
const BEHIND = "behind the end of a value, or on a line that is indented unlike its siblings";
const BEHIND_RIGHT = "put the whole text in quotes; indent the keys of one mapping alike";
const BRACES = 'put a text that holds { } [ ] or , in quotes: "GET /orders/{id}"';
const ESCAPE = "remove it, or write it as an escape within double quotes";
const COMMENT =
  "behind a text without quotes, which to YAML is a comment; the whole text in quotes if it belongs to it; a comment has a blank behind its #";
const TAG = "the value without it; put a text that begins with ! in quotes";

const MISTAKES: readonly (readonly [text: string, ...faults: string[]])[] = [
  ["a:\n\tb: 1\n", "f:2:1: a tab as indentation; blanks: YAML knows no tabs there"],
  ['x: 1\na: "b\nc: d\n', "f:2:4: a quote that is never closed; close it; a ' within '...' is written twice"],
  ["a: 'b\n", "f:1:4: a quote that is never closed; close it; a ' within '...' is written twice"],
  ["a: [1, [2], 3\nb: 3\n", 'f:1:4: a list or mapping without its "]"; close it with "]"'],
  ["a: {b: 1\n", 'f:1:4: a list or mapping without its "}"; close it with "}"'],
  ["a: }\n", 'f:1:4: a "}" that closes nothing; remove it, or put the text in quotes'],
  ["a: [,]\n", "f:1:5: a comma with nothing before it; one comma between items"],
  ["a: @x\n", 'f:1:4: a text without quotes that begins with "@"; put the text in quotes'],
  ["a: [GET /v1/{id}]\n", `f:1:13: "{" where a comma or the end of the list has to be; ${BRACES}`],
  ["a: {b: x{y}}\n", `f:1:9: "{" where a comma or the end of the list has to be; ${BRACES}`],
  ['when: "mfa" in x\n', `f:1:13: "i" ${BEHIND}; ${BEHIND_RIGHT}`],
  ["  a: 1\nb: 2\n", `f:2:1: "b" ${BEHIND}; ${BEHIND_RIGHT}`],
  ["a: b: c\n", `f:1:4: ${GOES_ON}; ${GOES_ON_RIGHT}`],
  ["a: 1\n  b: 2\n", `f:1:4: ${GOES_ON}; ${GOES_ON_RIGHT}`],
  [
    "a:\n  - b\n c: 1\n",
    `f:3:1: a line that is indented neither like the one above nor like its siblings; ${INDENTED}`,
  ],
  ["a: 1\nb\n", 'f:2:1: a key without ":"; a key, a colon, a blank and its value'],
  ["a: - b\n", "f:1:4: a list item where no list is; a list on lines of its own below its key"],
  ['a: "\\q"\n', 'f:1:5: the escape "\\q", which YAML does not know; single quotes, or \\\\ for a backslash'],
  ["a: |x\n  b\n", "f:1:5: text right behind | or >; begin the text on the next line"],
  ["a: 1\n---\nb: 2\n", 'f:2:1: a second document; one document a file: remove the "---"'],
  ["%YAML 1.1\n---\na: yes\n", "f:1:1: a YAML directive; remove the line, and the --- below it"],
  ["a: !!binary x\n", `f:1:5: a YAML tag; ${TAG}`],
  ["group: Team #1\n", `f:1:13: "#1" ${COMMENT}`],
  ["- a\n- b \t##c d\n", `f:2:6: "##c" ${COMMENT}`],
  ["a: { b: c #1\n}\n", `f:1:11: "#1" ${COMMENT}`],
  ["a: !reject x\n", `f:1:4: a YAML tag; ${TAG}`],
  [
    "a: [*.example.com]\n",
    'f:1:5: "*.example.com" without quotes, which to YAML is an alias; put a text that begins with * in quotes: "*.example.com"',
  ],
  [
    "a: &b 1\nc: *b\n",
    'f:1:4: "&b" without quotes, which to YAML is an anchor; put a text that begins with & in quotes; there are no anchors here',
    'f:2:4: "*b" without quotes, which to YAML is an alias; put a text that begins with * in quotes: "*b"',
  ],
  [
    "a: 1\nb: { c: 1, d: 2, c: 3 }\na: 2\n",
    'f:2:18: the key "c" a second time; keep one; the first is at f:2:6',
    'f:3:1: the key "a" a second time; keep one; the first is at f:1:1',
  ],
  ["__proto__: { a: 1 }\n", 'f:1:1: the key "__proto__"; another name'],
  [
    "1: a\n~: b\n? [c]\n: d\n: e\n",
    "f:1:1: the key 1, which is no text; put the key in quotes",
    "f:2:1: the key ~, which is no text; put the key in quotes",
    "f:3:3: a key that is no text; put the key in quotes",
    "f:5:1: a key that is no text; put the key in quotes",
  ],
  [
    "a: 3.0\nb: 0660\nc: 12345678901234567890\n",
    'f:1:4: 3.0 without quotes, which to YAML is the number 3; "3.0" in quotes, or a plain decimal number',
    'f:2:4: 0660 without quotes, which to YAML is the number 660; "0660" in quotes, or a plain decimal number',
    'f:3:4: 12345678901234567890 without quotes, which to YAML is a number that cannot be kept exactly; "12345678901234567890" in quotes, or a plain decimal number of at most 64 bits',
  ],
  ["\ufeffa: 1\n", "f:1:1: a byte order mark; save the file without one"],
  ["a: \ufffd\n", "f:1:4: bytes that are not UTF-8; save the file as UTF-8"],
  [
    "a: b\u00a0c\nd: \u202ee\n",
    `f:1:5: an invisible character, U+00A0; ${ESCAPE}`,
    `f:2:4: an invisible character, U+202E; ${ESCAPE}`,
  ],
  ["a: b\rc: d\n", `f:1:5: an invisible character, U+000D; ${ESCAPE}`],
  ["a: b\0c\n", `f:1:5: an invisible character, U+0000; ${ESCAPE}`],
  [`a: ${"x".repeat(1 << 20)}\n`, "f:1:1: a file of 1048580 bytes; at most 1048576 bytes"],
  [`${"[".repeat(40)}${"]".repeat(40)}`, "f:1:34: more than 32 levels of nesting; nest less deeply"],
];

test("what is wrong with a file as YAML is told in plain words, where it is", (t) => {
  for (const [text, ...expected] of MISTAKES) t.strictSame(faults(text), expected, JSON.stringify(text.slice(0, 40)));
  t.end();
});

test("an honest comment is no fault", (t) => {
  for (const text of [
    "a: b # c",
    "a: b #",
    "a: b ## c",
    "a: b\t# c",
    'a: "b" #c',
    "a: 'b' #c",
    "a: 1 #c",
    "a: true #c",
    "#c\na: b\n#d",
  ]) {
    t.strictSame(faults(`${text}\n`), [], text);
  }
  t.strictSame(read("a: b#c\n").value, { a: "b#c" });
  t.end();
});

test("nesting past the stack is a fault like others", (t) => {
  for (const opening of ["[", "- ", "? ", "{a: "]) {
    const told = faults(opening.repeat(20_000));
    t.equal(told.length, 1);
    t.match(told[0], /^f:1:\d+: too many levels of nesting; nest less deeply$/);
  }
  t.end();
});

test("all mistakes of a file are told at once", (t) => {
  const text = 'a: [GET /{id}]\nb: "x\\q"\nc: @d\n';
  t.strictSame(
    faults(text).map((fault) => fault.split(":")[1]),
    ["1", "2", "3"],
  );
  t.end();
});

test("columns are counted in characters", (t) => {
  t.strictSame(faults("😀é: { b: 1, b: 2 }\n"), ['f:1:13: the key "b" a second time; keep one; the first is at f:1:7']);
  t.end();
});

test("a file is read as YAML 1.2 means it", (t) => {
  const text = 'a: [yes, no, on, 0o0, "1", 1.5, -3, true, null, ~, 2026-12-01T00:00:00Z]\n';
  const [head, tail] = [text.slice(0, 17), text.slice(22)];
  t.strictSame(read(head + tail).value, {
    a: ["yes", "no", "on", "1", 1.5, -3, true, null, null, "2026-12-01T00:00:00Z"],
  });
  t.equal(faults(text).length, 1, "an octal number is not what it looks like");
  t.equal(read("").value, null);
  t.equal(read("# nothing\n").value, null);
  t.strictSame(read("constructor: 1\ntoString: 2\r\nb: x\r\n").value, { constructor: 1, toString: 2, b: "x" });
  t.end();
});

test("a value, its key and what is not there are found in the file", (t) => {
  const document = read("a:\n  b: [c, { d: e }]\n  f:\ng: |\n  h\n");
  const at = (fault: { line: number; column: number }) => `${fault.line}:${fault.column}`;
  const value = (...path: (string | number)[]) => at(document.fault(path, "", ""));
  const key = (...path: (string | number)[]) => at(document.keyFault(path, "", ""));
  t.equal(value(), "1:1");
  t.equal(value("a"), "2:3");
  t.equal(key("a"), "1:1");
  t.equal(value("a", "b"), "2:6");
  t.equal(value("a", "b", 1), "2:10");
  t.equal(value("a", "b", 1, "d"), "2:15");
  t.equal(key("a", "b", 1, "d"), "2:12");
  t.equal(key("a", "b", 0), "2:7", "a list item has no key");
  t.equal(value("a", "f"), "3:3", "a value that is not written stands at its key");
  t.equal(value("a", "x", "y"), "1:1", "what is missing is missing at the key above");
  t.equal(value("a", "b", 1, "x"), "2:10", "or at the list item");
  t.equal(value("g"), "4:4");
  t.equal(document.place(["a", "b"]), "f:2:3");
  t.end();
});

// Each letter from C on is in a text once, so that its place is known.
const SCALARS = [
  "a: CDE FGH\n",
  "a:   CMN\n      DEF\n\n   GHI\n",
  "a: CD\n\n\n   EF\n",
  'a: "CDE FGH"\n',
  'x: 1\na: "A\\tB\\x41\\u0042\\U0001F600C\\"D\\\\E"\n',
  'a: "CMN\n   DEF\n\n   GHI\\\n   JKL"\n',
  "a: 'A''B''C'\n",
  "a: 'AB\n\n  CD'\n",
  "a: |\n  CMN\n    DEF\n\n  GHI\n",
  "a: >-\n  CMN\n  DEF\n\n  GHI\n   JKL\n",
  "a: |2\n   CMN\n  D\n",
  "b: [x, { a: ABC }]\n",
  "😀: 1\r\na: >\r\n  AB\r\n  CD\r\n",
];

test("a place within a text is found whatever way the text is written", (t) => {
  for (const text of SCALARS) {
    const document = read(text);
    const path = text.startsWith("b") ? ["b", 1, "a"] : ["a"];
    const value = path.reduce<unknown>(
      (outer, step) => (outer as Record<string, unknown>)[step],
      document.value,
    ) as string;
    for (const letter of value.match(/[C-Z]/g) ?? []) {
      const { line, column } = document.textFault(path, { offset: value.indexOf(letter), found: "", right: "" });
      t.equal([...(text.split("\n")[line - 1] ?? "")][column - 1], letter, `${letter} in ${JSON.stringify(text)}`);
    }
  }
  t.end();
});

test("the end of a text, and the place behind an escape", (t) => {
  const at = (text: string, offset: number) => {
    const { line, column } = read(text).textFault(["a"], { offset, found: "", right: "" });
    return `${line}:${column}`;
  };
  t.equal(at("a: abc\n", 3), "1:7");
  t.equal(at('a: "abc"\n', 3), "1:8");
  t.equal(at('a: "\\u0041bc"\n', 0), "1:5");
  t.equal(at('a: "\\u0041bc"\n', 1), "1:11");
  t.equal(at('a: "\\U0001F600b"\n', 2), "1:15");
  t.equal(at("a: 'x''y'\n", 1), "1:6");
  t.equal(at("a: |\n  ab\n", 3), "2:5");
  t.equal(at("a: 5\n", 3), "1:4", "what is no text has no places in it");
  t.end();
});

test("texts that stand for others are never shown", (t) => {
  const document = read("a: [x, { b: <secret>, c: 1 }]\n");
  const other = document.withTexts((text) => text.replace("<secret>", "hunter2"));
  t.strictSame(other.value, { a: ["x", { b: "hunter2", c: 1 }] });
  t.equal(other.written(["a", 1, "b"]), "<secret>");
  t.equal(other.written(["a", 0]), "x");
  t.strictSame(document.value, { a: ["x", { b: "<secret>", c: 1 }] }, "the document itself stays as it is");
  t.equal(other.textFault(["a", 1, "b"], { offset: 5, found: "", right: "" }).column, 13);
  t.end();
});
