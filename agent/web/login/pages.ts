import { LOGIN_PATH, STYLE_PATH } from "../../../haproxy/input.ts";
import { type Answer, type Asked, html } from "./answer.ts";
import type { PageText, Texts } from "./texts/text.ts";
import { textsFor } from "./texts/texts.ts";

/** Whom a page is for. */
export type Reader = Pick<Asked, "headers">;

interface Link {
  readonly href: string;
  readonly text: string;
}

/** What a page has beside its text. */
interface More {
  readonly links?: readonly Link[];
  /** A button that posts to an address. */
  readonly form?: { readonly action: string; readonly text: string };
  /** A code of ours. */
  readonly reason?: string;
  /** Where a browser goes on to by itself. */
  readonly next?: string;
}

/** Which provider is theirs. @param links one for each */
export function chooserPage(reader: Reader, links: readonly Link[]): Answer {
  return page(reader, 200, "chooser", () => ({ links }));
}

/** @param action where the form goes */
export function signOutPage(reader: Reader, action: string): Answer {
  return page(reader, 200, "signOut", ({ out }) => ({ form: { action, text: out } }));
}

/** @param provider where they sign in again; undefined for any */
export function signedOutPage(reader: Reader, provider?: string): Answer {
  const query = provider === undefined ? "" : `?${new URLSearchParams({ provider })}`;
  return page(reader, 200, "signedOut", ({ again }) => ({ links: [{ href: `${LOGIN_PATH}${query}`, text: again }] }));
}

/**
 * A page that leads on: a redirect that follows a form is held to the `form-action` of the page with the form, which may
 * be an application's own.
 *
 * @param cookies Set-Cookie lines
 */
export function leavingPage(reader: Reader, next: string, cookies: readonly string[]): Answer {
  const { headers, ...rest } = page(reader, 200, "leaving", ({ goOn }) => ({
    links: [{ href: next, text: goOn }],
    next,
  }));
  return { ...rest, headers: { ...headers, "set-cookie": cookies } };
}

/** Where sessions are kept cannot be reached. */
export function notSignedOutPage(reader: Reader): Answer {
  const { headers, ...rest } = page(reader, 503, "notSignedOut", ({ start }) => ({
    links: [{ href: "/", text: start }],
  }));
  return { ...rest, headers: { ...headers, "retry-after": "5" } };
}

/** The provider has not let them in, or the agent does not. @param reason a code */
export function refusedPage(reader: Reader, reason: string): Answer {
  return page(reader, 403, "refused", (texts) => ({ ...again(texts), reason }));
}

/** A login that this browser has not begun, or not lately. */
export function unknownPage(reader: Reader): Answer {
  return page(reader, 400, "unknown", again);
}

export function noCookiesPage(reader: Reader): Answer {
  return page(reader, 400, "noCookies", again);
}

/** They have a session, and are asked to log in all the same. */
export function loopPage(reader: Reader): Answer {
  return page(reader, 403, "loop", ({ start }) => ({ links: [{ href: "/", text: start }] }));
}

export function unavailablePage(reader: Reader): Answer {
  const { headers, ...rest } = page(reader, 503, "unavailable", again);
  return { ...rest, headers: { ...headers, "retry-after": "5" } };
}

const WRONG = { 400: "unreadable", 404: "noPage", 405: "wrongMethod" } as const;

export function wrongRequestPage(reader: Reader, status: keyof typeof WRONG): Answer {
  return page(reader, status, WRONG[status]);
}

function again({ again }: Texts): More {
  return { links: [{ href: LOGIN_PATH, text: again }] };
}

type Name = { [Key in keyof Texts]: Texts[Key] extends PageText ? Key : never }[keyof Texts];

function page({ headers }: Reader, status: number, name: Name, more: (texts: Texts) => More = () => ({})): Answer {
  const texts = textsFor(String(headers["accept-language"] ?? ""));
  const { title, lines } = texts[name];
  const { links = [], form, reason, next } = more(texts);
  const body = [
    `<h1>${escaped(title)}</h1>`,
    ...lines.map((line) => `<p>${escaped(line)}</p>`),
    ...(links.length === 0 ? [] : [`<ul>${links.map(itemOf).join("")}</ul>`]),
    ...(form === undefined ? [] : [formOf(form)]),
    ...(reason === undefined ? [] : [detail(texts.reason, reason)]),
    ...(status < 400 ? [] : requestOf(headers).map((id) => detail(texts.request, id))),
  ];
  const onward = next === undefined ? "" : `<meta http-equiv="refresh" content="0; url=${escaped(next)}">`;
  const head = `<meta charset="utf-8">${onward}<meta name="viewport" content="width=device-width"><title>${escaped(title)}</title><link rel="stylesheet" href="${STYLE_PATH}">`;
  const text = `<!doctype html><html lang="${texts.language}"><head>${head}</head><body><main>${body.join("")}</main></body></html>\n`;
  return html(status, text, { "content-language": texts.language, vary: "accept-language" });
}

function itemOf({ href, text }: Link): string {
  return `<li><a href="${escaped(href)}">${escaped(text)}</a></li>`;
}

function formOf({ action, text }: NonNullable<More["form"]>): string {
  return `<form method="post" action="${escaped(action)}"><button>${escaped(text)}</button></form>`;
}

function detail(what: string, value: string): string {
  return `<p class="detail">${escaped(what)}: ${escaped(value)}</p>`;
}

/** The id by which HAProxy logs the request. */
function requestOf(headers: Reader["headers"]): readonly string[] {
  const id = headers["x-request-id"];
  return typeof id === "string" && /^[\w-]{1,64}$/.test(id) ? [id] : [];
}

const SIGNS: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => SIGNS[sign] ?? "");
}
