const WORKERS = "a whole number from 1 to 64: processes that answer HAProxy, or `auto` for one a core";

/** What is changed in the configuration with every key, and the faults of it. The YAML is as somebody would mistype it. */
export const MISTAKES: readonly (readonly [from: string, to: string, ...faults: string[]])[] = [
  [
    "- 127.0.0.1:9000",
    "- 10.0.0.1:9000",
    '3:7: the text "10.0.0.1:9000"; 127.0.0.1:9000, another loopback address or unix:/PATH: others need TLS, which is not in this version',
  ],
  [
    "- 127.0.0.1:9000",
    "- localhost:9000",
    '3:7: the text "localhost:9000"; `ADDRESS:PORT` with a numeric address, `unix:/PATH`, or `{ address: unix:/PATH, mode: "0660" }`, such as "127.0.0.1:9000"',
  ],
  [
    "- 127.0.0.1:9000",
    "- 127.0.0.1",
    '3:7: the text "127.0.0.1"; `ADDRESS:PORT` with a numeric address, `unix:/PATH`, or `{ address: unix:/PATH, mode: "0660" }`, such as "127.0.0.1:9000"',
  ],
  [
    "- 127.0.0.1:9000",
    "- 127.0.0.1:0",
    '3:7: the text "127.0.0.1:0"; a numeric address and a port from 1 to 65535, such as 127.0.0.1:9000 or [::1]:9000',
  ],
  [
    "- 127.0.0.1:9000",
    '- "[127.0.0.1]:9000"',
    '3:7: the text "[127.0.0.1]:9000"; a numeric address and a port from 1 to 65535, such as 127.0.0.1:9000 or [::1]:9000',
  ],
  [
    "- 127.0.0.1:9000",
    "- 9000",
    '3:7: the number 9000; `ADDRESS:PORT` with a numeric address, `unix:/PATH`, or `{ address: unix:/PATH, mode: "0660" }`, such as "127.0.0.1:9000"',
  ],
  [
    "- 127.0.0.1:9000",
    "- unix:run/spop.sock",
    '3:7: the text "unix:run/spop.sock"; `ADDRESS:PORT` with a numeric address, `unix:/PATH`, or `{ address: unix:/PATH, mode: "0660" }`, such as "127.0.0.1:9000"',
  ],
  [
    "- 127.0.0.1:9000",
    "- unix:/run/countersign/spop.sock",
    "4:7: the address unix:/run/countersign/spop.sock a second time; another address; the first is at countersign.yaml:3:7",
  ],
  [
    "- 127.0.0.1:9000",
    '- { address: 127.0.0.1:9000, mode: "0660" }',
    '3:40: the text "0660"; no mode: only the file of a unix socket has one',
  ],
  [
    "- 127.0.0.1:9000",
    "- { address: 127.0.0.1:9000, tls: { cert: a } }",
    '3:34: "tls" is not in this version; addresses other than loopback and unix sockets need it: run the agent beside HAProxy',
  ],
  [
    "- 127.0.0.1:9000",
    '- { mode: "0660" }',
    '3:7: no "address" here; `ADDRESS:PORT` with a numeric address, or `unix:/PATH`, such as "unix:/run/countersign/spop.sock"',
  ],
  [
    'mode: "0600"',
    "mode: 600",
    '5:13: the number 600; the socket file\'s mode, four octal digits in quotes: who may write to it may connect, such as "0660"',
  ],
  [
    'mode: "0600"',
    'mode: "0777"',
    '5:13: the text "0777"; the socket file\'s mode, four octal digits in quotes: who may write to it may connect, such as "0660"',
  ],
  [
    'admin: "[::1]:9901"',
    "admin: 127.0.0.1:9000",
    "6:10: the address 127.0.0.1:9000 a second time; another address; the first is at countersign.yaml:3:7",
  ],
  [
    'admin: "[::1]:9901"',
    "admin: [127.0.0.1:9901]",
    '6:10: a list; where /live, /ready, /status and /metrics are: `ADDRESS:PORT` with a numeric address, or `unix:/PATH`, such as "127.0.0.1:9901"',
  ],
  ['admin: "[::1]:9901"', "web: 127.0.0.1:9902", '6:3: "web" is not in this version; leave it out'],
  [
    "policies: ./policies",
    "policies:",
    '7:1: nothing; a policy file or directory, or a list of them, such as "./policies"',
  ],
  [
    "policies: ./policies",
    "policies: []",
    '7:11: an empty list; a policy file or directory, or a list of them, such as "./policies"',
  ],
  ["policies: ./policies", "policies: [a, a]", '7:15: the text "a" twice in one list; each of them once'],
  [
    "policies: ./policies",
    "policies: { a: b }",
    '7:11: a mapping; a policy file or directory, or a list of them, such as "./policies"',
  ],
  [
    "  okta:\n",
    "  my okta:\n",
    '9:3: the key "my okta"; a name of letters, digits, `_`, `.` and `-`, at most 64 characters',
  ],
  ["type: oidc", "type: saml", '10:11: the text "saml"; `oidc`: JWT access tokens of an OpenID Connect provider'],
  [
    "type: oidc",
    "type: introspection",
    '10:11: the text "introspection" is not in this version; `oidc`: JWT access tokens of an OpenID Connect provider',
  ],
  [
    "type: oidc",
    "okta: true",
    '9:3: no "type" here; `oidc`: JWT access tokens of an OpenID Connect provider',
    '10:5: "okta" is not in this version; name what its tokens have with `claims`',
  ],
  [
    "issuer: https://example.okta.com/oauth2/default",
    "issuer: http://example.okta.com",
    '11:13: the text "http://example.okta.com"; https: whoever stands between could swap the keys; http is for loopback only',
  ],
  [
    "issuer: https://example.okta.com/oauth2/default",
    "issuer: example.okta.com",
    '11:13: the text "example.okta.com"; the URL that its tokens have as `iss`, byte for byte, such as "https://example.okta.com/oauth2/default"',
  ],
  [
    "issuer: https://example.okta.com/oauth2/default",
    "issuer: https://",
    '11:13: the text "https://"; the URL that its tokens have as `iss`, byte for byte, such as "https://example.okta.com/oauth2/default"',
  ],
  [
    "issuer: https://example.okta.com/oauth2/default",
    "issuer: https://example.okta.com/?a=b",
    '11:13: the text "https://example.okta.com/?a=b"; a URL without query and fragment',
  ],
  [
    "issuer: https://example.okta.com/oauth2/default",
    "issuer: https://example.okta.com/#a",
    '11:13: the text "https://example.okta.com/#a"; a URL without query and fragment',
  ],
  [
    "issuer: https://example.okta.com/oauth2/default",
    "issuer: https://alice:secret@example.okta.com/",
    '11:13: the text "https://…@example.okta.com/"; a URL without user name and password',
  ],
  [
    "    audiences: [api://orders]\n",
    "",
    '9:3: no "audiences" here; a list of the `aud` values of tokens that are meant for here: one of them is required of every token, such as ["api://orders"]',
  ],
  [
    "audiences: [api://orders]",
    "audiences: api://orders",
    '12:16: the text "api://orders"; a list of the `aud` values of tokens that are meant for here: one of them is required of every token, such as ["api://orders"]',
  ],
  [
    "audiences: [api://orders]",
    "audiences: []",
    '12:16: an empty list; a list of the `aud` values of tokens that are meant for here: one of them is required of every token, such as ["api://orders"]',
  ],
  [
    "algorithms: [RS256, ES256]",
    "algorithms: [RS256, HS256]",
    '13:25: the text "HS256"; one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519; never `none` or HMAC (HS256 and kin): whoever can check such a token could have made it',
  ],
  [
    "algorithms: [RS256, ES256]",
    "algorithms: [none]",
    '13:18: the text "none"; one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519; never `none` or HMAC (HS256 and kin): whoever can check such a token could have made it',
  ],
  [
    "algorithms: [RS256, ES256]",
    "algorithms: []",
    '13:17: an empty list; a list of signature algorithms, such as ["RS256","ES256"]',
  ],
  ["subject: uid", "subject: [uid]", "15:16: a list; the name or dotted path of the claim that says who it is"],
  [
    "groups: roles",
    "groups: ''",
    "16:15: an empty text; the name or dotted path of the claim with the groups: a list, or one text",
  ],
  [
    "scopes: scope",
    "scopes: true",
    "17:15: true; the name or dotted path of the claim with the scopes: a list, or one text with blanks between",
  ],
  [
    "kind: client_kind",
    "kind: 5",
    "18:13: the number 5; the name or dotted path of the claim that says `person`, `workload` or `agent`",
  ],
  [
    "kind: workload",
    "kind: robot",
    '20:11: the text "robot"; `person`, `workload` or `agent`: what a principal is where no claim says it',
  ],
  [
    "client: cid",
    "client: [cid]",
    "19:15: a list; the name or dotted path of the claim with the client that asked for the token",
  ],
  [
    "id_tokens: accept",
    "id_tokens: yes",
    '22:16: the text "yes"; `refuse` or `accept`: whether ID tokens, which are for clients, count as access tokens',
  ],
  ["token_types: [at+jwt]", "token_types: [a b]", '21:19: the text "a b"; a token type, such as "at+jwt"'],
  [
    "clock_tolerance: 5s",
    "clock_tolerance: 5",
    "23:22: the number 5; a duration (`500ms`, `30s`, `15m`, `12h`): how far the issuer's clock may be off",
  ],
  ["clock_tolerance: 5s", "clock_tolerance: 6m", '23:22: the text "6m"; from 0s to 5m'],
  [
    "refresh: 10m",
    "refresh: 1d",
    '25:16: the text "1d"; a duration (`500ms`, `30s`, `15m`, `12h`): how often they are fetched',
  ],
  ["refresh: 10m", "refresh: 9999ms", '25:16: the text "9999ms"; from 10s to 24h'],
  [
    "refresh: 10m",
    "refresh: 13h",
    '27:18: the text "12h"; `max_stale` at least as long as `refresh`: else keys would end before they are fetched anew',
  ],
  ["cooldown: 30s", "cooldown: 0s", '26:17: the text "0s"; from 1s to 1h'],
  [
    "max_stale: 12h",
    "max_stale: 9m",
    '27:18: the text "9m"; `max_stale` at least as long as `refresh`: else keys would end before they are fetched anew',
  ],
  ["max_stale: 12h", "max_stale: 169h", '27:18: the text "169h"; from 1m to 168h'],
  [
    "max_size: 64KiB",
    "max_size: 64KB",
    '28:17: the text "64KB"; a size (`512B`, `8KiB`, `1MiB`): the largest answer of the issuer',
  ],
  ["max_size: 64KiB", "max_size: 17MiB", '28:17: the text "17MiB"; from 1KiB to 16MiB'],
  [
    "ca: authority.pem",
    "ca: nothing.pem",
    '29:9: the text "nothing.pem" names a file that cannot be read: there is no such file; a readable PEM file with certificates',
  ],
  [
    "ca: authority.pem",
    "ca: countersign.yaml",
    '29:9: the text "countersign.yaml" names a file without a certificate; a readable PEM file with certificates',
  ],
  [
    "ca: authority.pem",
    "ca: .",
    '29:9: the text "." names a file that cannot be read: it is a directory; a readable PEM file with certificates',
  ],
  [
    "ca: authority.pem",
    "ca: broken.pem",
    '29:9: the text "broken.pem" names a file whose certificate 1 is broken; a readable PEM file with certificates',
  ],
  [
    'version: "3.2"',
    "version: 3.2",
    '31:12: the number 3.2; the oldest HAProxy that has to read the files, in quotes: "2.6" to "3.5"',
  ],
  [
    'version: "3.2"',
    "version: 3.0",
    '31:12: 3.0 without quotes, which to YAML is the number 3; "3.0" in quotes, or a plain decimal number',
  ],
  [
    'version: "3.2"',
    'version: "2.4"',
    '31:12: the text "2.4"; the oldest HAProxy that has to read the files, in quotes: "2.6" to "3.5"',
  ],
  [
    "identity_prefix: x-id-",
    "identity_prefix: x-id",
    '32:20: the text "x-id"; the beginning of the identity headers\' names: lower-case letters, digits and `-`, which it ends in, such as "x-auth-"',
  ],
  [
    "identity_prefix: x-id-",
    "identity_prefix: X-Id-",
    '32:20: the text "X-Id-"; the beginning of the identity headers\' names: lower-case letters, digits and `-`, which it ends in, such as "x-auth-"',
  ],
  [
    "identity_prefix: x-id-",
    "identity_prefix: l5d-",
    '32:20: the text "l5d-"; a prefix of your own, such as x-auth-: HAProxy removes all that begins so',
  ],
  [
    "identity_prefix: x-id-",
    "identity_prefix: x-forwarded-",
    '32:20: the text "x-forwarded-"; a prefix of your own, such as x-auth-: HAProxy removes all that begins so',
  ],
  [
    "identity_prefix: x-id-",
    "identity_prefix: x-",
    '32:20: the text "x-"; a prefix of your own, such as x-auth-: HAProxy removes all that begins so, x-request-id too',
  ],
  [
    'alpn h2,http/1.1"]',
    'alpn h2 # all"]',
    '33:10: the text "*:443 ssl crt /etc/haproxy/certs alpn h2 # all"; an address with its options: one line of ASCII without quotes, `\\` and `#`',
  ],
  [
    'alpn h2,http/1.1"]',
    'alpn h2\\nbind *:81"]',
    '33:10: the text "*:443 ssl crt /etc/haproxy/certs alpn h2\\nbind *:81"; an address with its options: one line of ASCII without quotes, `\\` and `#`',
  ],
  [
    "from: x-forwarded-for",
    "from: header",
    '35:11: the text "header"; `connection`, `proxy-protocol` or `x-forwarded-for`: what says it',
  ],
  [
    "from: x-forwarded-for",
    "from: connection",
    "36:14: a list; `from: proxy-protocol` or `from: x-forwarded-for` beside it: from a connection nobody is believed",
  ],
  [
    '    trusted: [10.0.0.0/8, "fd00::/8"]\n',
    "",
    '35:11: the text "x-forwarded-for"; `trusted: [NETWORK]` for `x-forwarded-for`: without it any client could claim any address',
  ],
  [
    'trusted: [10.0.0.0/8, "fd00::/8"]',
    "trusted: [10.0.0.0/33]",
    '36:15: the text "10.0.0.0/33"; a network such as 10.0.0.0/8 or fd00::/8',
  ],
  [
    'trusted: [10.0.0.0/8, "fd00::/8"]',
    'trusted: ["fe80::1%eth0/64"]',
    '36:15: the text "fe80::1%eth0/64"; a network such as 10.0.0.0/8 or fd00::/8',
  ],
  [
    'trusted: [10.0.0.0/8, "fd00::/8"]',
    "trusted: [lb.example.com]",
    '36:15: the text "lb.example.com"; a network such as 10.0.0.0/8 or fd00::/8',
  ],
  [
    'trusted: [10.0.0.0/8, "fd00::/8"]',
    "trusted: [0.0.0.0/0]",
    '36:15: the text "0.0.0.0/0"; the networks of your load balancers: this one is everybody\'s',
  ],
  [
    "access_log: [client, actor]",
    "access_log: [client, subject]",
    '38:24: the text "subject"; `issuer`, `kind`, `client` or `actor`',
  ],
  ["scheme: https", "scheme: wss", '37:11: the text "wss"; `http` or `https`: as clients see it'],
  [
    "orders: [orders.shop",
    "countersign-agent: [orders.shop",
    '40:5: the key "countersign-agent"; a backend\'s name: letters, digits, `_`, `.`, `:` and `-`, at most 64 characters, not `countersign-agent`',
  ],
  [
    "orders: [orders.shop.svc.cluster.local:8080,",
    "orders: [orders.shop.svc.cluster.local,",
    '40:14: the text "orders.shop.svc.cluster.local"; `HOST:PORT` or `unix:/PATH`, such as "10.0.0.7:8080"',
  ],
  [
    "orders: [orders.shop.svc.cluster.local:8080,",
    'orders: ["orders:80 check",',
    '40:14: the text "orders:80 check"; `HOST:PORT` or `unix:/PATH`, such as "10.0.0.7:8080"',
  ],
  [
    "orders: [orders.shop.svc.cluster.local:8080,",
    'orders: ["[1.2]:80",',
    '40:14: the text "[1.2]:80"; HOST:PORT with a port from 1 to 65535',
  ],
  [
    "orders: [orders.shop.svc.cluster.local:8080,",
    "orders: [orders:65536,",
    '40:14: the text "orders:65536"; HOST:PORT with a port from 1 to 65535',
  ],
  [
    "deadline: 250ms",
    "deadline: 0.25s",
    '41:11: the text "0.25s"; a duration (`500ms`, `30s`, `15m`, `12h`): how long the agent may take for one answer; HAProxy waits 100ms longer',
  ],
  ["deadline: 250ms", "deadline: 11s", '41:11: the text "11s"; from 10ms to 10s'],
  [
    "identities: 5000",
    "identities: 0",
    "43:15: the number 0; a whole number from 1 to 10000000: most identities; the least recently used give way",
  ],
  [
    "identities: 5000",
    "identities: 1.5",
    "43:15: the number 1.5; a whole number from 1 to 10000000: most identities; the least recently used give way",
  ],
  ["lifetime: 1m", "lifetime: 25h", '44:13: the text "25h"; from 1s to 24h'],
  [
    "refusals: 500",
    "refusals: many",
    '45:13: the text "many"; a whole number from 1 to 1000000: most refused tokens that are remembered',
  ],
  ["token: 4KiB", "token: 65KiB", '47:10: the text "65KiB"; from 256B to 64KiB'],
  [
    "connections: 16",
    "connections: 65537",
    "48:16: the number 65537; a whole number from 1 to 65536: most connections from HAProxy",
  ],
  [
    "in_flight: 100",
    "in_flight: -1",
    "49:14: the number -1; a whole number from 1 to 1000000: most requests being judged at a time",
  ],
  [
    "fetches: 4",
    'fetches: "4"',
    '50:12: the text "4"; a whole number from 1 to 1024: most fetches from issuers at a time',
  ],
  [
    "level: debug",
    "level: trace",
    '52:10: the text "trace"; `debug`, `info`, `warn` or `error`: the least that is written; decisions are written at any',
  ],
  ["decisions: refused", "decisions: none", '53:14: the text "none"; `all`, or `refused` for those only'],
  ["destination: stderr", "destination: syslog", '54:16: the text "syslog"; `stdout` or `stderr`'],
  ["workers: 2", "workers: 0", `55:10: the number 0; ${WORKERS}`],
  ["workers: 2", "workers: 1.5", `55:10: the number 1.5; ${WORKERS}`],
  ["workers: 2", "workers: 1000", `55:10: the number 1000; ${WORKERS}`],
  ["workers: 2", "workers: many", `55:10: the text "many"; ${WORKERS}`],
  [
    'admin: "[::1]:9901"',
    "admin: 127.0.0.1:9001",
    "3:7: the address 127.0.0.1:9001 a second time, for another worker; another address; the first is at countersign.yaml:6:3",
  ],
  [
    "- 127.0.0.1:9000",
    "- 127.0.0.1:65535",
    "3:7: 127.0.0.1:65535 for 2 workers, each of which takes a port; a port of at most 65534",
  ],
  ["log:\n", "mesh:\n  trust_domain: a\nlog:\n", '51:1: "mesh" is not in this version; leave it out'],
  ["log:\n", "assertion: { issuer: a }\nlog:\n", '51:1: "assertion" is not in this version; leave it out'],
  [
    "log:\n",
    "LOG:\n",
    '51:1: unknown key "LOG"; did you mean "log"? Known keys: listen, workers, policies, issuers, haproxy, deadline, cache, limits, log',
  ],
];
