import { LOGIN_PATH } from "../../../haproxy/input.ts";
import { type Answer, html } from "./answer.ts";

/** What a page says. */
interface Said {
  /** What has happened; the title and the one heading. */
  readonly title: string;
  readonly lines: readonly string[];
  readonly links?: readonly { readonly href: string; readonly text: string }[];
}

const AGAIN = { href: LOGIN_PATH, text: "Sign in again" };

/** Which provider is theirs. @param links one for each */
export function chooserPage(links: NonNullable<Said["links"]>): Answer {
  return page(200, { title: "Sign in", lines: ["Who knows you?"], links });
}

export function signedOutPage(): Answer {
  return page(200, { title: "You are signed out", lines: [], links: [AGAIN] });
}

/** The provider has not let them in, or the agent does not. @param reason a code */
export function refusedPage(reason: string): Answer {
  return page(403, { title: "You were not signed in", lines: [`Reason: ${reason}`], links: [AGAIN] });
}

/** A login that this browser has not begun, or not lately. */
export function unknownPage(): Answer {
  const lines = ["It was begun too long ago, was ended already, or was begun in another browser."];
  return page(400, { title: "This sign-in is over", lines, links: [AGAIN] });
}

export function noCookiesPage(): Answer {
  const lines = ["Without cookies nobody can stay signed in. Allow them for this site, and sign in again."];
  return page(400, { title: "Your browser does not keep our cookie", lines, links: [AGAIN] });
}

/** They have a session, and are asked to log in all the same. */
export function loopPage(): Answer {
  const lines = ["You were signed in, and what you asked for is still not open to you."];
  return page(403, { title: "Signing in does not help", lines, links: [{ href: "/", text: "To the start" }] });
}

export function unavailablePage(): Answer {
  const lines = ["The sign-in service does not answer. Nothing of yours is lost; try again in a moment."];
  const { headers, ...rest } = page(503, { title: "You cannot sign in now", lines, links: [AGAIN] });
  return { ...rest, headers: { ...headers, "retry-after": "5" } };
}

export function wrongRequestPage(status: 400 | 404 | 405): Answer {
  const title = {
    400: "This request cannot be read",
    404: "There is no such page",
    405: "This page takes no such request",
  };
  return page(status, { title: title[status], lines: [] });
}

function page(status: number, { title, lines, links = [] }: Said): Answer {
  const paragraphs = lines.map((line) => `<p>${escaped(line)}</p>`).join("");
  const items = links.map(({ href, text }) => `<li><a href="${escaped(href)}">${escaped(text)}</a></li>`).join("");
  return html(
    status,
    `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(title)}</title><main><h1>${escaped(title)}</h1>${paragraphs}${items === "" ? "" : `<ul>${items}</ul>`}</main></html>\n`,
  );
}

const SIGNS: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => SIGNS[sign] ?? "");
}
