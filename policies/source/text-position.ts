import type { Scalar } from "yaml";

const ESCAPE = String.raw`\\(?:x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|\r?\n[ \t]*|.)`;
/** A line break in a flow scalar and the blanks around it: one blank in the value, or one line break less than here. */
const FOLD = String.raw`[ \t]*(?:\r?\n[ \t]*)+`;

const PIECES = {
  PLAIN: new RegExp(`${FOLD}|.`, "gsu"),
  QUOTE_SINGLE: new RegExp(`''|${FOLD}|.`, "gsu"),
  QUOTE_DOUBLE: new RegExp(`${ESCAPE}|${FOLD}|.`, "gsu"),
};

/**
 * Where a character of a scalar's value stands in the scalar as it is written.
 *
 * @param source the scalar from its first character to its last, quotes and block header included
 * @param offset into the value, in UTF-16 code units
 * @returns offset into the source
 */
export function sourceOffset(type: Scalar.Type | undefined, source: string, value: string, offset: number): number {
  if (type === "BLOCK_LITERAL" || type === "BLOCK_FOLDED") return blockOffset(source, value, offset);
  const style = type === "QUOTE_SINGLE" || type === "QUOTE_DOUBLE" ? type : "PLAIN";
  const quote = style === "PLAIN" ? 0 : 1;
  let left = offset;
  for (const { 0: piece, index } of source.slice(quote, source.length - quote).matchAll(PIECES[style])) {
    left -= lengthInValue(piece);
    if (left < 0) return index + quote;
  }
  return source.length - quote;
}

function lengthInValue(piece: string): number {
  if (piece.startsWith("\\") && piece.length > 1) {
    if (/^\\\r?\n/.test(piece)) return 0;
    return piece.startsWith("\\U") && Number.parseInt(piece.slice(2), 16) > 0xffff ? 2 : 1;
  }
  if (piece === "''") return 1;
  return piece.includes("\n") ? Math.max(1, piece.split("\n").length - 2) : piece.length;
}

/**
 * Blocks have no escapes, and folding changes nothing but white space: the value's characters that are none are the
 * source's, in their order.
 */
function blockOffset(source: string, value: string, offset: number): number {
  const header = source.indexOf("\n") + 1;
  const body = source.slice(header);
  const before = value.slice(0, offset);
  let count = before.replace(/\s/g, "").length;
  if (/\S/.test(value.charAt(offset))) count += 1;
  let at = -1;
  for (let seen = 0; seen < count; ) {
    at += 1;
    if (/\S/.test(body.charAt(at))) seen += 1;
  }
  return header + (/\S/.test(value.charAt(offset)) ? at : at + 1);
}
