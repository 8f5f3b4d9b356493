import type { IncomingMessage } from "node:http";
import { OneRequest } from "./one-request.ts";

/** A browser, or a proxy, has asked for somebody else. */
const BEHALF = ["origin", "sec-fetch-site", "forwarded", "x-forwarded-for", "via"] as const;
const HERE = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;

/**
 * Whether somebody on this machine asks, for themselves. A page in their browser does not, whatever its name resolves to
 * (DNS rebinding): it says which name it asked for.
 */
export function isFromHere({ headers, socket }: IncomingMessage): boolean {
  return socket instanceof OneRequest && socket.local && isNamed(headers) && BEHALF.every((name) => !(name in headers));
}

function isNamed({ host }: IncomingMessage["headers"]): boolean {
  return host !== undefined && HERE.test(host);
}
