import { OWN } from "./variables.ts";

/**
 * Headers that only speak for the client where a proxy in front of it wrote them, or that change what a backend takes
 * a request to be. A name ending in `*` is a prefix. docs/security.md has the same list, and why.
 */
export const NOT_THE_CLIENTS = [
  "l5d-*",
  // Who it is, as the proxies of platforms say it to what is behind them.
  "x-ms-client-principal*",
  "x-goog-authenticated-user-*",
  "x-amzn-oidc-identity",
  "cf-access-authenticated-user-email",
  "x-authentik-*",
  "x-webauth-*",
  "tailscale-user-*",
  // Where it comes from.
  "forwarded*",
  "x-forward*",
  "x-real-ip",
  "x-client-ip",
  "client-ip",
  "x-cluster-client-ip",
  "x-originating-ip",
  "x-remote-*",
  "remote-*",
  "true-client-ip",
  "cf-connecting-ip*",
  "cf-pseudo-ipv4",
  "fastly-client-ip",
  "wl-proxy-*",
  "x-azure-*",
  "x-appengine-*",
  // By which scheme, with which certificate.
  "x-scheme",
  "x-url-scheme",
  "front-end-https",
  "ssl-client-*",
  "x-ssl-*",
  "client-cert*",
  "x-client-cert*",
  "x-arr-*",
  // What it asks for.
  "x-host",
  "x-url",
  "x-uri",
  "x-method",
  "x-original-*",
  "x-rewrite-*",
  "x-override-url",
  "x-envoy-*",
  "x-http-*",
  "x-method-override",
  "x-middleware-*",
  "x-accel-*",
  "x-sendfile-type",
  // What a trace has said of it.
  "b3",
  "x-b3-*",
  "x-amzn-trace-id",
  "grpc-trace-bin",
  "baggage",
  "grpc-tags-bin",
  "ot-baggage-*",
  "uberctx-*",
  "jaeger-baggage",
  // For a proxy alone; `proxy` itself sets a CGI program's HTTP_PROXY.
  "proxy*",
] as const;

/** W3C Trace Context, section 3.2.2: version 00, and ids that are not all zeros. */
const TRACEPARENT = [
  "{ req.fhdr(traceparent) -m reg '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$' }",
  `!{ req.fhdr(traceparent) -m beg 00-${"0".repeat(32)} }`,
  `!{ req.fhdr(traceparent) -m sub -- -${"0".repeat(16)}- }`,
  "!{ req.fhdr_cnt(traceparent) gt 1 }",
].join(" ");

/** Deletes what a client may not say. @param identityHeaders those that policies set, in lower case */
export function clientHeaders(identityPrefix: string, identityHeaders: readonly string[]): readonly string[] {
  // `x-auth` beside `x-auth-*`: some backends read a whole identity from it.
  const bare = identityPrefix.replace(/-+$/, "");
  const outside = identityHeaders.filter(
    (name) => !name.startsWith(identityPrefix) && name !== bare && !name.startsWith("l5d-"),
  );
  const names = [`${identityPrefix}*`, ...(["", identityPrefix].includes(bare) ? [] : [bare]), ...outside];
  return [
    "# What a client may not say: who it is, where it comes from, what it meant to ask.",
    ...[...names, ...NOT_THE_CLIENTS].map((name) => `http-request del-header ${name.replace("*", " -m beg")}`),
    "# A malformed traceparent ends the request in a Linkerd proxy that traces; a tracestate says nothing without one.",
    `http-request del-header traceparent unless ${TRACEPARENT}`,
    "http-request del-header tracestate unless { req.fhdr(traceparent) -m found }",
    "# Without one a trace begins here, whose id is the request's.",
    `http-request set-header traceparent 00-%[var(${OWN.id})]-%[uuid(),regsub(-,,g),bytes(0,16)]-01 unless { req.fhdr(traceparent) -m found }`,
    "# The request's id is the one in all logs, whatever the client calls it.",
    `http-request set-header x-request-id %[var(${OWN.id})]`,
  ];
}
