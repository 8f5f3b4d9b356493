/**
 * Headers that only speak for the client where a proxy in front of it wrote them, or that change what a backend takes
 * a request to be: its address, its URL, its method, its trace. `proxy` sets a CGI program's HTTP_PROXY,
 * and `proxy-…` is for a proxy alone. A name ending in `*` is a prefix.
 */
export const NOT_THE_CLIENTS = [
  "l5d-*",
  "forwarded*",
  "x-forwarded*",
  "x-real-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "true-client-ip",
  "cf-connecting-ip",
  "fastly-client-ip",
  "x-host",
  "x-original-*",
  "x-rewrite-*",
  "x-override-url",
  "x-envoy-*",
  "x-http-*",
  "x-method-override",
  "x-b3-*",
  "x-amzn-trace-id",
  "proxy*",
] as const;

const TRACEPARENT = "'^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'";

/** Deletes what a client may not say. @param identityHeaders those that policies set, in lower case */
export function clientHeaders(identityPrefix: string, identityHeaders: readonly string[]): readonly string[] {
  const outside = identityHeaders.filter((name) => !name.startsWith(identityPrefix));
  const names = [`${identityPrefix}*`, ...outside];
  return [
    "# What a client may not say: who it is, where it comes from, what it meant to ask.",
    ...[...names, ...NOT_THE_CLIENTS].map((name) => `http-request del-header ${name.replace("*", " -m beg")}`),
    "# A malformed traceparent ends the request in a Linkerd proxy that traces.",
    `http-request del-header traceparent unless { req.fhdr(traceparent) -m reg ${TRACEPARENT} } !{ req.fhdr_cnt(traceparent) gt 1 }`,
  ];
}
