import { readText } from "../../config/files/read-file.ts";

const LARGEST = 64 << 10;
/** RFC 6750, section 2.1. */
const TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

/** The token that a file holds at this moment, or why there is none, in words that hold nothing of the file. */
export function bearerFrom(file: string): { readonly token: string } | { readonly problem: string } {
  const read = readText(file, LARGEST);
  if (!("text" in read)) return { problem: `names a file that cannot be read: ${read.problem}` };
  const token = read.text.trim();
  return TOKEN.test(token) ? { token } : { problem: "names a file that does not hold one token" };
}
