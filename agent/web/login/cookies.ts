import type { SESSION_PARTS } from "../../../haproxy/places.ts";

/**
 * Characters of a cookie's name and value at most: browsers drop one of more than 4096 in silence (RFC 6265bis, section
 * 5.6), and older ones count its attributes too.
 */
export const LARGEST_COOKIE = 4000;

const ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax";

/** SP and HTAB, the only blanks around a pair (RFC 6265bis, section 5.6): any other is a part of the name or value. */
const BLANKS = /^[ \t]+|[ \t]+$/g;

/** The cookies of a request by their names; one that comes twice is none. */
export function cookiesIn(header = ""): ReadonlyMap<string, string> {
  const cookies = new Map<string, string>();
  const twice = new Set<string>();
  for (const pair of header.split(";")) {
    const at = pair.indexOf("=");
    const name = pair.slice(0, Math.max(at, 0)).replace(BLANKS, "");
    if (cookies.has(name)) twice.add(name);
    cookies.set(name, pair.slice(at + 1).replace(BLANKS, ""));
  }
  for (const name of twice) cookies.delete(name);
  return cookies;
}

/** A Set-Cookie line. @param seconds for which it is kept; default: as long as the browser runs */
export function setCookie(name: string, value: string, seconds?: number): string {
  return `${name}=${value}; ${ATTRIBUTES}${seconds === undefined ? "" : `; Max-Age=${seconds}`}`;
}

/** What ends a cookie. It needs the attributes with which it was set: the browser ignores it otherwise. */
export function endCookie(name: string): string {
  return setCookie(name, "", 0);
}

/** Name of a cookie beside a session's. */
export function besides(cookie: string, part: (typeof SESSION_PARTS)[number]): string {
  return `${cookie}-${part}`;
}

/**
 * The lines that set a session's cookie, in two where one is too small, and end what an earlier session has left.
 *
 * @param largest characters of all of it
 * @returns undefined where it is too large
 */
export function sessionLines(cookie: string, sealed: string, largest: number): readonly string[] | undefined {
  const room = LARGEST_COOKIE - besides(cookie, "more").length;
  if (sealed.length > Math.min(2 * room, largest)) return undefined;
  const [first, more] = [sealed.slice(0, room), sealed.slice(room)];
  const second = besides(cookie, "more");
  return [
    setCookie(cookie, first),
    more === "" ? endCookie(second) : setCookie(second, more),
    endCookie(besides(cookie, "seen")),
  ];
}

/** The lines that end a session in its browser. */
export function noSession(cookie: string): readonly string[] {
  return [cookie, besides(cookie, "more"), besides(cookie, "seen")].map(endCookie);
}

/** A session's cookie as it was sealed, from the two that it may be in. */
export function sessionIn(cookies: ReadonlyMap<string, string>, cookie: string): string {
  return `${cookies.get(cookie) ?? ""}${cookies.get(besides(cookie, "more")) ?? ""}`;
}
