import type { TextFault } from "../fault.ts";
import type { PolicyRequest } from "../request.ts";

/** A request as a person writes it, `GET https://orders.example.com/v1/orders/42?page=2`, taken apart and not normalized. */
export type WrittenRequest = Pick<PolicyRequest, "method" | "host" | "path" | "query" | "tls">;

const REQUEST = /^(\S+) (https?):\/\/([^/?#\s]+)(\/[^?#\s]*)?(?:\?([^#\s]*))?$/;

/** Takes a written request apart. Path and host stay as they are: whether they can be judged is for the policies to say. */
export function parseRequestLine(text: string): WrittenRequest | TextFault {
  const [, method, scheme, host, path = "/", query = ""] = REQUEST.exec(text) ?? [];
  if (method === undefined || host === undefined) {
    return {
      offset: 0,
      found: `the request ${JSON.stringify(text)}`,
      right: "a method and a URL, such as `GET https://orders.example.com/v1/orders`",
    };
  }
  return { method, host, path, query, tls: scheme === "https" };
}
