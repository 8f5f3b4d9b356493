import { WEB_PATH } from "../../../haproxy/input.ts";

/** Longest path with query that somebody is sent back to, in bytes. */
const LONGEST = 1024;
/** Controls, blanks of any kind, and the backslash that browsers take for a slash. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const ODD = /[\u0000-\u0020\u007f-\u00a0\u2028\u2029\ufeff\\]/;
/** A second slash, or what a browser or a hop makes one of. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const AWAY = /^\/[/\\\u0000-\u0020]/;
/** Of the beginning that could lead away. */
const HEAD = 24;
/** Any origin does: what is asked is whether a browser stays there. */
const BASE = "https://browser.invalid";

/**
 * Where somebody is sent after a login: a path of the same origin, with query and fragment as given; `/` for whatever a
 * browser, or a hop that decodes once more, could take for another origin or for the agent's own pages.
 */
export function returnTo(text: string | undefined): string {
  return text !== undefined && staysHere(text) ? text.replace(/[^\u0021-\u007e]+/g, encodeURIComponent) : "/";
}

function staysHere(text: string): boolean {
  if (!text.startsWith("/") || Buffer.byteLength(text) > LONGEST || ODD.test(text) || !text.isWellFormed())
    return false;
  for (let head = text.slice(0, HEAD), i = 0; i < 3; i++, head = decodedOnce(head)) if (AWAY.test(head)) return false;
  const url = URL.parse(text, BASE);
  return url !== null && url.origin === BASE && !url.pathname.startsWith("//") && !isOwn(url.pathname);
}

/** Whether it leads to the agent's own pages, however it is written. */
function isOwn(pathname: string): boolean {
  const plain = decodedOnce(decodedOnce(pathname)).replaceAll("\\", "/").replace(/^\/+/, "/");
  const path = (URL.parse(plain, BASE)?.pathname ?? plain).toLowerCase();
  return `${path}/`.startsWith(WEB_PATH);
}

/** Byte by byte, whatever they make up. */
function decodedOnce(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
