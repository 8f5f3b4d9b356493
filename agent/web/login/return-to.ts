import { WEB_PATH } from "../../../haproxy/input.ts";

/** Longest path with query that somebody is sent back to, as it is kept: in ASCII. */
const LONGEST = 1024;
/** Controls, blanks of any kind, and the backslash that browsers take for a slash. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const ODD = /[\u0000-\u0020\u007f-\u00a0\u2028\u2029\ufeff\\]/;
/** A second slash, or what a browser or a hop makes one of. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const AWAY = /^\/[/\\\u0000-\u0020]/;
/** How often a path may be encoded: nobody needs so much, and each time takes work. */
const DEEPEST = 8;
/** Any origin does: what is asked is whether a browser stays there. */
const BASE = "https://browser.invalid";

/**
 * Where somebody is sent after a login: a path of the same origin, with query and fragment as given; `/` for whatever a
 * browser, or a hop that decodes once more, could take for another origin or for the agent's own pages.
 */
export function returnTo(text: string | undefined): string {
  if (text === undefined || text.length > LONGEST || ODD.test(text) || !text.isWellFormed()) return "/";
  const kept = text.replace(/[^\u0021-\u007e]+/g, encodeURIComponent);
  return kept.length <= LONGEST && staysHere(kept) ? kept : "/";
}

function staysHere(text: string): boolean {
  const all = decodings(text);
  if (!text.startsWith("/") || all.length > DEEPEST || all.some((each) => AWAY.test(each))) return false;
  const url = URL.parse(text, BASE);
  if (url === null || url.origin !== BASE || url.pathname.startsWith("//")) return false;
  const [path = ""] = text.split(/[?#]/, 1);
  return !decodings(path).some(isOwn);
}

/** Whether it leads to the agent's own pages, wherever slashes are merged: before dots are resolved, after, or never. */
function isOwn(path: string): boolean {
  const slashed = path.replaceAll("\\", "/");
  return [slashed, merged(slashed)].some((each) => {
    const url = new URL(BASE);
    url.pathname = each;
    return `${merged(url.pathname)}/`.toLowerCase().startsWith(WEB_PATH);
  });
}

function merged(path: string): string {
  return path.replace(/\/+/g, "/");
}

/** A text, and all that hops could make of it of which each decodes once; more than `DEEPEST` where there are more. */
function decodings(text: string): readonly string[] {
  const all = [text];
  for (let next = decodedOnce(text); next !== all.at(-1) && all.length <= DEEPEST; next = decodedOnce(next))
    all.push(next);
  return all;
}

/** Byte by byte, whatever they make up. */
function decodedOnce(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
