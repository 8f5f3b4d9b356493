import type { Section } from "../../config/section.ts";
import { isLoopback } from "../../http/fetch.ts";

/**
 * Reads `endpoint`, an address of an authorization server to which tokens and a client's secret are sent; undefined
 * where there is none.
 */
export function readEndpoint(section: Section, what: string, example: string): string | undefined {
  const text = section.optionalText("endpoint");
  if (text === undefined) return undefined;
  const url = URL.parse(text);
  const fault = (right: string) => section.fault(["endpoint"], right);
  if (url === null) fault(`the URL of the ${what}, such as ${example}`);
  else if (url.username !== "" || url.password !== "") fault("a URL without user name and password");
  else if (url.hash !== "") fault("a URL without fragment");
  else if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    fault("https: tokens and the client's secret are sent there; http is for loopback only");
  }
  return text;
}
