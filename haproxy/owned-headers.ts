import { CREDENTIAL_KINDS, kindsOf } from "./credentials.ts";

const CREDENTIALS = CREDENTIAL_KINDS.flatMap(({ headers }) => headers);

/** What policies must know of headers that are not theirs. A name ending in `*` is a prefix. */
export const OWNED_HEADERS = {
  /** What HAProxy or the next hop reads, sets or removes itself: no policy sets it. */
  reserved: [
    "connection",
    "keep-alive",
    "proxy-*",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "host",
    "content-*",
    ...CREDENTIALS,
    "cookie",
    "set-cookie",
    "forwarded",
    "x-forwarded-*",
    "x-real-ip",
    "x-original-*",
    "x-rewrite-*",
    "x-http-*",
    "x-method-override",
    "x-b3-*",
    "x-envoy-*",
    "x-host",
    "cf-connecting-ip",
    "proxy",
    "l5d-*",
    "traceparent",
    "tracestate",
    "x-request-id",
    "x-auth-assertion",
  ],
  /** What proves who somebody is: no expression reads it. */
  credentials: [...CREDENTIALS, "proxy-authorization", "cookie"],
} as const;

/** The same, with the headers that credentials stand in by the configuration. @param credentials names of their kinds */
export function ownedHeaders(credentials: readonly string[]) {
  const headers = kindsOf(credentials).flatMap((kind) => kind.headers);
  return {
    reserved: [...OWNED_HEADERS.reserved, ...headers],
    credentials: [...new Set([...OWNED_HEADERS.credentials, ...headers])],
  };
}
