import { isLoopback } from "../../http/fetch.ts";

/** Where a directory is, of an agent that names its host alone (the draft's section on discovery; RFC 8615). */
const WELL_KNOWN = "/.well-known/http-message-signatures-directory";

/**
 * The directory that an agent names, in the one form in which names are compared: normalized (RFC 3986, section 6) and
 * without query and fragment. It is the agent's name; http is for loopback only.
 *
 * @returns undefined for what is none
 */
export function directoryOf(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null || url.username !== "" || url.password !== "") return undefined;
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopback(url.hostname))) return undefined;
  return `${url.origin}${url.pathname === "/" ? WELL_KNOWN : url.pathname}`;
}
