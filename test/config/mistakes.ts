import { EVERY_KEY } from "./example.ts";

const WORKERS = "a whole number from 1 to 64: processes that answer HAProxy, or `auto` for one a core";

const CLAIMS_TELL = "+0:11: a mapping; one word for those whom `claims.kind` does not tell, or no `claims.kind`";
const KIND_CLAIM =
  "a text, a number, true or false; or `{ prefix: TEXT }`, `{ suffix: TEXT }`, `{ equals: TEXT }`, `{ present: false }`";

const ISSUER_OF_ASSERTION =
  'whose word it is, the `iss` that backends compare: an http or https URL with neither query nor fragment, such as "https://api.example.com"';
const TYPES =
  "`oidc`: JWT access tokens of an OpenID Connect provider; `introspection`: tokens that their authorization server is asked about; `aws-iam`: AWS roles, by requests that they have signed; `api-key`: keys that this agent knows; `client-certificate`: certificates in the TLS handshake; `http-signature`: agents that sign their requests; `mesh`: clients of HAProxy's own Linkerd mesh";

const LONG = "a".repeat(63);

const PLACE =
  "`authorization`, or `{ header: NAME, from: client }`, `{ header: NAME, from: [NETWORK] }`, `{ subprotocol: NAME }`, `{ cookie: NAME }`; never the query: logs and traces have it";

type Mistake = readonly [from: string, to: string, ...faults: string[]];

/**
 * What is changed in the configuration with every key, and the faults of it. The YAML is as somebody would mistype it.
 * Lines are counted from the one that is changed, so that a new key moves nobody else's; `@KEY` is the first of a key.
 */
const CHANGES: readonly Mistake[] = [
  [
    "- 127.0.0.1:9000",
    "- 10.0.0.1:9000",
    '+0:7: the text "10.0.0.1:9000"; 127.0.0.1:9000, another loopback address, unix:/PATH, or `{ address: "10.0.0.1:9000", tls: { cert: FILE, key: FILE, client_ca: FILE } }`',
  ],
  [
    "- 127.0.0.1:9000",
    "- localhost:9000",
    '+0:7: the text "localhost:9000"; `ADDRESS:PORT` with a numeric address, `unix:/PATH` with at most 100 characters behind `/`, or `{ address: unix:/PATH, mode: "0660" }`, such as "127.0.0.1:9000"',
  ],
  [
    "- 127.0.0.1:9000",
    "- 127.0.0.1",
    '+0:7: the text "127.0.0.1"; `ADDRESS:PORT` with a numeric address, `unix:/PATH` with at most 100 characters behind `/`, or `{ address: unix:/PATH, mode: "0660" }`, such as "127.0.0.1:9000"',
  ],
  [
    "- 127.0.0.1:9000",
    "- 127.0.0.1:0",
    '+0:7: the text "127.0.0.1:0"; a numeric address and a port from 1 to 65535, such as 127.0.0.1:9000 or [::1]:9000',
  ],
  [
    "- 127.0.0.1:9000",
    '- "[127.0.0.1]:9000"',
    '+0:7: the text "[127.0.0.1]:9000"; a numeric address and a port from 1 to 65535, such as 127.0.0.1:9000 or [::1]:9000',
  ],
  [
    "- 127.0.0.1:9000",
    "- 9000",
    '+0:7: the number 9000; `ADDRESS:PORT` with a numeric address, `unix:/PATH` with at most 100 characters behind `/`, or `{ address: unix:/PATH, mode: "0660" }`, such as "127.0.0.1:9000"',
  ],
  [
    "- 127.0.0.1:9000",
    "- unix:run/spop.sock",
    '+0:7: the text "unix:run/spop.sock"; `ADDRESS:PORT` with a numeric address, `unix:/PATH` with at most 100 characters behind `/`, or `{ address: unix:/PATH, mode: "0660" }`, such as "127.0.0.1:9000"',
  ],
  [
    "- 127.0.0.1:9000",
    "- unix:/run/countersign/spop.sock",
    "+1:7: the address unix:/run/countersign/spop.sock a second time; another address; the first is at countersign.yaml:+0:7",
  ],
  [
    "- 127.0.0.1:9000",
    '- { address: 127.0.0.1:9000, mode: "0660" }',
    '+0:40: the text "0660"; no mode: only a unix socket has one',
  ],
  [
    "- 127.0.0.1:9000",
    "- { address: 127.0.0.1:9000, tls: { cert: a } }",
    '+0:34: no "key" here; a PEM file with the certificate\'s private key, such as "/etc/countersign/tls/tls.key"',
    '+0:34: no "client_ca" here; a PEM file with the authorities that sign HAProxy\'s certificate: without one, whoever reaches the port could ask, such as "/etc/countersign/tls/ca.crt"',
    "+0:47: the text \"a\" names a file that cannot be read: there is no such file; a PEM file with the agent's certificate, those between it and HAProxy's authority behind it, and nothing else",
  ],
  [
    'mode: "0600"',
    'mode: "0600"\n      tls: { cert: agent.pem, key: agent.key, client_ca: clients.pem }',
    "+1:12: a mapping; no tls: who may write to a unix socket's file may ask",
  ],
  [
    "address: 10.0.0.5:9000",
    "address: agent.example.com:9000",
    '+0:16: the text "agent.example.com:9000"; `ADDRESS:PORT` with a numeric address, or `unix:/PATH` with at most 100 characters behind `/`, such as "unix:/run/countersign/spop.sock"',
  ],
  [
    'admin: "[::1]:9901"',
    'admin: { address: "[::1]:9901", tls: { cert: agent.pem, key: agent.key, client_ca: clients.pem } }',
    "+0:40: a mapping; no tls: only `spop` has it",
  ],
  [
    "cert: agent.pem",
    "cert: nowhere.pem",
    "+0:15: the text \"nowhere.pem\" names a file that cannot be read: there is no such file; a PEM file with the agent's certificate, those between it and HAProxy's authority behind it, and nothing else",
  ],
  [
    "cert: agent.pem",
    "cert: agent.key",
    "+0:15: the text \"agent.key\" names a file with a block `PRIVATE KEY`; a PEM file with the agent's certificate, those between it and HAProxy's authority behind it, and nothing else",
  ],
  [
    "key: agent.key",
    "key: agent.pem",
    '+0:14: the text "agent.pem" names a file without it; a PEM file with the private key of the certificate, not encrypted',
  ],
  [
    "client_ca: clients.pem",
    "client_ca: agent.pem",
    "+0:20: the text \"agent.pem\" names a file whose certificate 1 is no authority's; a PEM file with the certificates of the authorities that sign HAProxy's, and nothing else",
  ],
  [
    "client_names: [haproxy.example.com,",
    'client_names: ["*.example.com",',
    '+0:24: the text "*.example.com"; a DNS name in lower case, or a URI such as spiffe://example.org/haproxy',
  ],
  [
    "spiffe://example.org/haproxy]",
    '"spiffe://example.org/*"]',
    '+0:45: the text "spiffe://example.org/*"; a DNS name in lower case, or a URI such as spiffe://example.org/haproxy',
  ],
  [
    "servers: [agent-1.example.com:9000, 10.0.0.6:9000]",
    "servers: [10.0.0.6:9000, 10.0.0.6:9000]",
    '+0:30: the text "10.0.0.6:9000" twice in one list; each of them once',
  ],
  [
    "      cert: /etc/haproxy/agent.pem\n",
    "",
    '-1:5: no "cert" here; the absolute path of a PEM file with the certificate and key that HAProxy shows the agents, as HAProxy sees it, such as "/etc/haproxy/agent-client.pem"',
  ],
  [
    "ca: /etc/haproxy/agents.pem",
    "ca: agents.pem",
    '+0:11: the text "agents.pem"; the absolute path of a PEM file with the authorities of the agents\' certificates, as HAProxy sees it',
  ],
  [
    "server_name: countersign.example.com",
    "server_name: 10.0.0.6",
    '+0:20: the text "10.0.0.6"; the host name that the agents\' certificates must have, and that is asked for (SNI), such as "countersign.example.com"',
  ],
  [
    "      server_name: countersign.example.com\n",
    "",
    "-2:7: no `server_name`, and the agent 10.0.0.6:9000 has none that its certificate could be held against; `server_name: NAME` with the name in the agents' certificates, or host names in `servers`",
  ],
  [
    "- 127.0.0.1:9000",
    '- { mode: "0660" }',
    '+0:7: no "address" here; `ADDRESS:PORT` with a numeric address, or `unix:/PATH` with at most 100 characters behind `/`, such as "unix:/run/countersign/spop.sock"',
  ],
  [
    'mode: "0600"',
    "mode: 600",
    '+0:13: the number 600; the socket file\'s mode, `0` and three of the digits 0, 2, 4 and 6, in quotes: who may write to it may connect, such as "0660"',
  ],
  [
    'mode: "0600"',
    'mode: "0777"',
    '+0:13: the text "0777"; the socket file\'s mode, `0` and three of the digits 0, 2, 4 and 6, in quotes: who may write to it may connect, such as "0660"',
  ],
  [
    "- 127.0.0.1:9000",
    "- { address: 127.0.0.1:9000, group: haproxy }",
    '+0:41: the text "haproxy"; no group: only a unix socket has one',
  ],
  [
    "group: haproxy",
    "group: Ingress Team",
    '+0:14: the text "Ingress Team"; name or number of the socket file\'s group: HAProxy\'s, such as "haproxy"',
  ],
  [
    "haproxy: unix@/countersign/spop.sock",
    "haproxy: countersign/spop.sock",
    '+0:16: the text "countersign/spop.sock"; the socket as HAProxy sees it, `unix@/PATH`, where that is another path than the agent\'s: behind a chroot, or mounted elsewhere, such as "unix@/countersign/spop.sock"',
  ],
  [
    "- 127.0.0.1:9000",
    "- { address: unix:/run/a, haproxy: unix@/countersign/spop.sock }",
    "+1:7: the address unix@/countersign/spop.sock a second time; another address; the first is at countersign.yaml:+0:7",
  ],
  [
    'admin: "[::1]:9901"',
    'admin: { address: "unix:/run/b", haproxy: "unix@/b" }',
    '+0:45: the text "unix@/b"; no haproxy: HAProxy does not ask here',
  ],
  [
    'admin: "[::1]:9901"',
    "admin: 127.0.0.1:9000",
    "+0:10: the address 127.0.0.1:9000 a second time; another address; the first is at countersign.yaml:-11:7",
  ],
  [
    'admin: "[::1]:9901"',
    "admin: [127.0.0.1:9901]",
    '+0:10: a list; where /live, /ready, /status and /metrics are: `ADDRESS:PORT` with a numeric address, or `unix:/PATH`, such as "127.0.0.1:9901"',
  ],
  [
    "web: 127.0.0.1:8902",
    "web: localhost",
    '+0:8: the text "localhost"; where HAProxy fetches what the agent itself has for backends and browsers, `/.countersign/…`: `ADDRESS:PORT` with a numeric address, or `unix:/PATH`, such as "127.0.0.1:9902"',
  ],
  [
    "web: 127.0.0.1:8902",
    "web: 127.0.0.1:9000",
    "+0:8: the address 127.0.0.1:9000 a second time; another address; the first is at countersign.yaml:3:7",
  ],
  [
    "policies: ./policies",
    "policies:",
    '+0:1: nothing; a policy file or directory, or a list of them, such as "./policies"',
  ],
  [
    "policies: ./policies",
    "policies: []",
    '+0:11: an empty list; a policy file or directory, or a list of them, such as "./policies"',
  ],
  ["policies: ./policies", "policies: [a, a]", '+0:15: the text "a" twice in one list; each of them once'],
  [
    "policies: ./policies",
    "policies: { a: b }",
    '+0:11: a mapping; a policy file or directory, or a list of them, such as "./policies"',
  ],
  [
    "  okta:\n",
    "  my okta:\n",
    '+0:3: the key "my okta"; a name of letters, digits, `_`, `.` and `-`, at most 64 characters',
  ],
  ["type: oidc", "type: saml", `+0:11: the text "saml"; ${TYPES}`],
  ["type: oidc", "type: session", `+0:11: the text "session"; ${TYPES}`],
  [
    "type: oidc",
    "okta: true",
    `-1:3: no "type" here; ${TYPES}`,
    "+0:11: true; that it is an authorization server of Okta's: `{}`, or a mapping with `groups`",
  ],
  [
    "issuer: https://example.okta.com/oauth2/default",
    "issuer: http://example.okta.com",
    '+0:13: the text "http://example.okta.com"; https: whoever stands between could swap the keys; http is for loopback only',
  ],
  [
    "issuer: https://example.okta.com/oauth2/default",
    "issuer: example.okta.com",
    '+0:13: the text "example.okta.com"; the URL that its tokens have as `iss`, byte for byte, such as "https://example.okta.com/oauth2/default"',
  ],
  [
    "issuer: https://example.okta.com/oauth2/default",
    "issuer: https://",
    '+0:13: the text "https://"; the URL that its tokens have as `iss`, byte for byte, such as "https://example.okta.com/oauth2/default"',
  ],
  [
    "issuer: https://example.okta.com/oauth2/default",
    "issuer: https://example.okta.com/?a=b",
    '+0:13: the text "https://example.okta.com/?a=b"; a URL without query and fragment',
  ],
  [
    "issuer: https://example.okta.com/oauth2/default",
    "issuer: https://example.okta.com/#a",
    '+0:13: the text "https://example.okta.com/#a"; a URL without query and fragment',
  ],
  [
    "issuer: https://example.okta.com/oauth2/default",
    "issuer: https://alice:secret@example.okta.com/",
    '+0:13: the text "https://…@example.okta.com/"; a URL without user name and password',
  ],
  [
    "    audiences: [api://orders]\n",
    "",
    '-3:3: no "audiences" here; a list of the `aud` values of tokens that are meant for here: one of them is required of every token, such as ["api://orders"]',
  ],
  [
    "audiences: [api://orders]",
    "audiences: api://orders",
    '+0:16: the text "api://orders"; a list of the `aud` values of tokens that are meant for here: one of them is required of every token, such as ["api://orders"]',
  ],
  [
    "audiences: [api://orders]",
    "audiences: []",
    '+0:16: an empty list; a list of the `aud` values of tokens that are meant for here: one of them is required of every token, such as ["api://orders"]',
  ],
  [
    "algorithms: [RS256, ES256]",
    "algorithms: [RS256, HS256]",
    '+0:25: the text "HS256"; one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519; never `none` or HMAC (HS256 and kin): whoever can check such a token could have made it',
  ],
  [
    "algorithms: [RS256, ES256]",
    "algorithms: [none]",
    '+0:18: the text "none"; one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519; never `none` or HMAC (HS256 and kin): whoever can check such a token could have made it',
  ],
  [
    "algorithms: [RS256, ES256]",
    "algorithms: []",
    '+0:17: an empty list; a list of signature algorithms, such as ["RS256","ES256"]',
  ],
  ...[
    "https://login.example/{tenantid}/v2.0",
    "https://*.example.com",
    "https://a.example/<tenant>",
    "https://a.example/:tenant/",
    "https://a.example/%7Btid%7D",
    "https://a.example/x$",
  ].map((url): [string, string, string] => [
    "issuer: https://example.okta.com/oauth2/default",
    `issuer: "${url}"`,
    `+0:13: the text ${JSON.stringify(url)}; the issuer's whole URL, as its tokens have it: an issuer of its own for each that differs in this`,
  ]),
  ...["common/v2.0", "organizations/v2.0", "consumers"].map((path): [string, string, string] => [
    "issuer: https://example.okta.com/oauth2/default",
    `issuer: https://login.microsoftonline.com/${path}`,
    `+0:13: the text "https://login.microsoftonline.com/${path}"; the tenant's own issuer, such as https://login.microsoftonline.com/TENANT/v2.0: tokens name their tenant`,
  ]),
  ...["*", "api://*", "<audience>", "{audience}", "^api$", "api://.+", "api?"].map(
    (audience): [string, string, string] => [
      "audiences: [api://orders]",
      `audiences: ["${audience}"]`,
      `+0:17: the text ${JSON.stringify(audience)}; an audience as tokens have it in \`aud\`: \`*\`, \`?\`, \`<name>\` and other signs of patterns have no meaning there; \`{ equals: AUDIENCE }\` if it is really called so`,
    ],
  ),
  [
    "audiences: [api://orders]",
    "audiences: [{ matches: api }]",
    '+0:17: no "equals" here; the audience, letter by letter',
    `+0:19: unknown key "matches"; Known keys: equals`,
  ],
  ["subject: uid", "subject: [1]", "+0:17: the number 1; a claim's name"],
  ...["realm_access[0]", "$.sub", "/sub", "a..b", "a.*", "<sub>", "a/b"].map((path): [string, string, string] => [
    "subject: uid",
    `subject: "${path}"`,
    `+0:16: the text ${JSON.stringify(path)}; ${path === "a/b" ? "dots between the names to descend" : "names with dots between, such as `realm_access.roles`"}; the names as a list, such as \`[resource_access, my.app, roles]\`, are taken as they are`,
  ]),
  [
    "groups: roles",
    "groups: { first: [] }",
    '+0:24: an empty list; a list of places, of which the first that is there counts, such as ["groups","realm_access.roles"]',
  ],
  [
    "groups: roles",
    'groups: { first: [a, { keys_of: "b[0]" }] }',
    '+0:39: the text "b[0]"; names with dots between, such as `realm_access.roles`; the names as a list, such as `[resource_access, my.app, roles]`, are taken as they are',
  ],
  [
    "groups: roles",
    "groups: { key_of: a }",
    '+0:17: unknown key "key_of"; did you mean "keys_of"? Known keys: keys_of, first',
  ],
  ["groups: roles", "groups: { keys_of: a, first: [b] }", "+0:15: too many keys; at most 1 keys"],
  ["kind: client_kind", "kind: { keys_of: a }", '+0:15: unknown key "keys_of"; Known keys: first'],
  [
    "groups: roles",
    "groups: ''",
    "+0:15: an empty text; the name or dotted path of the claim with the groups: a list, or one text",
  ],
  [
    "scopes: scope",
    "scopes: true",
    "+0:15: true; the name or dotted path of the claim with the scopes: a list, or one text with blanks between",
  ],
  [
    "kind: client_kind",
    "kind: 5",
    "+0:13: the number 5; the name or dotted path of the claim that says `person`, `workload` or `agent`",
  ],
  ["kind: workload", "kind: { workload: { idtyp: app } }", CLAIMS_TELL],
  ...[
    [
      "{ workload: { idtyp: app }, robot: { a: b } }",
      '+2:39: unknown key "robot"; Known keys: person, workload, agent, otherwise',
    ],
    ["{ workload: { idtyp: [app] } }", `+2:32: a list; ${KIND_CLAIM}`],
    ["{ agent: {} }", '+2:20: an empty mapping; the claims of an agent, such as {"client_kind":"bot"}'],
    [
      '{ agent: [{ client: "bot-*" }] }',
      '+2:31: `*`, which has no meaning in a name; `{ prefix: ext- }` or `{ suffix: "@example.com" }`; `{ equals: "bot-*" }` if it is really called so',
    ],
    [
      '{ agent: { "a[0]": x } }',
      '+2:30: the claim "a[0]"; a claim\'s name, or names with dots between, such as `realm_access.roles`',
    ],
    [
      "{ agent: { uid: { present: false, prefix: a } } }",
      "+2:27: a mapping; `present` alone: a claim that is asked for is there",
    ],
  ].map(([to = "", fault = ""]): [string, string, string] => [
    "kind: client_kind\n      client: cid\n    kind: workload",
    `# none\n      client: cid\n    kind: ${to}`,
    fault,
  ]),
  [
    "kind: workload",
    "kind: robot",
    '+0:11: the text "robot"; `person`, `workload` or `agent`: what a principal is where no claim says it; or which claims say it, such as `{ workload: { idtyp: app } }`',
  ],
  [
    "client: cid",
    "client: 5",
    "+0:15: the number 5; the name or dotted path of the claim with the client that asked for the token",
  ],
  [
    "id_tokens: accept",
    "id_tokens: yes",
    '+0:16: the text "yes"; `refuse` or `accept`: whether ID tokens, which are for clients, count as access tokens',
  ],
  ["largest_body: 64KiB", "largest_body: 1MiB", '+0:17: the text "1MiB"; from 1KiB to 112KiB'],
  [
    "access_log: [client, actor]",
    "access_log: [client, subject]",
    '+0:24: the text "subject"; `issuer`, `kind`, `client` or `actor`',
  ],
  [
    "token_types: [at+jwt]",
    "token_types: [at+jwt, application/TxnToken+jwt]",
    '+0:27: "application/TxnToken+jwt", which is a transaction token, which no client has; a type of access tokens, such as at+jwt',
  ],
  ["token_types: [at+jwt]", "token_types: [a b]", '+0:19: the text "a b"; a token type, such as "at+jwt"'],
  [
    "clock_tolerance: 5s",
    "clock_tolerance: 5",
    "+0:22: the number 5; a duration (`500ms`, `30s`, `15m`, `12h`): how far the issuer's clock may be off",
  ],
  ["clock_tolerance: 5s", "clock_tolerance: 6m", '+0:22: the text "6m"; from 0s to 5m'],
  [
    "refresh: 10m",
    "refresh: 1d",
    '+0:16: the text "1d"; a duration (`500ms`, `30s`, `15m`, `12h`): how often they are fetched',
  ],
  ["refresh: 10m", "refresh: 9999ms", '+0:16: the text "9999ms"; from 10s to 24h'],
  [
    "refresh: 10m",
    "refresh: 13h",
    '+2:18: the text "12h"; `max_stale` at least as long as `refresh`: else keys would end before they are fetched anew',
  ],
  ["cooldown: 30s", "cooldown: 0s", '+0:17: the text "0s"; from 1s to 1h'],
  [
    "max_stale: 12h",
    "max_stale: 9m",
    '+0:18: the text "9m"; `max_stale` at least as long as `refresh`: else keys would end before they are fetched anew',
  ],
  ["max_stale: 12h", "max_stale: 169h", '+0:18: the text "169h"; from 1m to 168h'],
  [
    "max_size: 64KiB",
    "max_size: 64KB",
    '+0:17: the text "64KB"; a size (`512B`, `8KiB`, `1MiB`): the largest answer of the issuer',
  ],
  ["max_size: 64KiB", "max_size: 17MiB", '+0:17: the text "17MiB"; from 1KiB to 16MiB'],
  [
    "ca: authority.pem",
    "ca: nothing.pem",
    '+0:9: the text "nothing.pem" names a file that cannot be read: there is no such file; a readable PEM file with certificates',
  ],
  [
    "ca: authority.pem",
    "ca: countersign.yaml",
    '+0:9: the text "countersign.yaml" names a file without a certificate; a readable PEM file with certificates',
  ],
  [
    "ca: authority.pem",
    "ca: .",
    '+0:9: the text "." names a file that cannot be read: it is a directory; a readable PEM file with certificates',
  ],
  [
    "ca: authority.pem",
    "ca: broken.pem",
    '+0:9: the text "broken.pem" names a file whose certificate 1 is broken; a readable PEM file with certificates',
  ],
  ["timeout: 2s", "timeout: 50ms", '+0:16: the text "50ms"; from 100ms to 1m'],
  [
    "proxy: http://agent:secret@proxy.example.com:3128",
    "proxy: socks5://agent:secret@proxy.example.com",
    "+0:12: an address that is not http://HOST:PORT; `environment`, `none`, or a proxy's address, such as http://proxy.example.com:3128",
  ],
  [
    "proxy: http://agent:secret@proxy.example.com:3128",
    "proxy: http://proxy.example.com/?path",
    "+0:12: an address that is not http://HOST:PORT; `environment`, `none`, or a proxy's address, such as http://proxy.example.com:3128",
  ],
  [
    'version: "3.2"',
    "version: 3.2",
    '+0:12: the number 3.2; the oldest HAProxy that has to read the files, in quotes: "2.6" to "3.5"',
  ],
  [
    'version: "3.2"',
    "version: 3.0",
    '+0:12: 3.0 without quotes, which to YAML is the number 3; "3.0" in quotes, or a plain decimal number',
  ],
  [
    'version: "3.2"',
    'version: "2.4"',
    '+0:12: the text "2.4"; the oldest HAProxy that has to read the files, in quotes: "2.6" to "3.5"',
  ],
  [
    "identity_prefix: x-id-",
    "identity_prefix: x-id",
    '+0:20: the text "x-id"; the beginning of the identity headers\' names: lower-case letters, digits and `-`, which it ends in, such as "x-auth-"',
  ],
  [
    "identity_prefix: x-id-",
    "identity_prefix: X-Id-",
    '+0:20: the text "X-Id-"; the beginning of the identity headers\' names: lower-case letters, digits and `-`, which it ends in, such as "x-auth-"',
  ],
  [
    "identity_prefix: x-id-",
    "identity_prefix: l5d-",
    '+0:20: the text "l5d-"; a prefix of your own, such as x-auth-: HAProxy removes all that begins so, l5d-client-id too',
  ],
  [
    "identity_prefix: x-id-",
    "identity_prefix: x-forwarded-",
    '+0:20: the text "x-forwarded-"; a prefix of your own, such as x-auth-: HAProxy removes all that begins so',
  ],
  [
    "identity_prefix: x-id-",
    "identity_prefix: x-",
    '+0:20: the text "x-"; a prefix of your own, such as x-auth-: HAProxy removes all that begins so, x-request-id too',
  ],
  [
    "identity_prefix: x-id-",
    "identity_prefix: host-",
    '+0:20: the text "host-"; a prefix of your own, such as x-auth-: HAProxy removes all that begins so, host too',
  ],
  [
    "identity_prefix: x-id-",
    "identity_prefix: authorization-",
    '+0:20: the text "authorization-"; a prefix of your own, such as x-auth-: HAProxy removes all that begins so, authorization too',
  ],
  [
    'bind: ["*:443 ssl crt a',
    'bind: ["*:65536 ssl crt a',
    '+0:10: the text "*:65536 ssl crt a ca-file b verify optional alpn h2,http/1.1"; an address that HAProxy can listen at, such as *:443',
  ],
  [
    'alpn h2,http/1.1"]',
    'alpn h2 # all"]',
    '+0:10: the text "*:443 ssl crt a ca-file b verify optional alpn h2 # all"; an address with its options: one line of ASCII without quotes, `\\` and `#`',
  ],
  [
    'alpn h2,http/1.1"]',
    'alpn h2\\nbind *:81"]',
    '+0:10: the text "*:443 ssl crt a ca-file b verify optional alpn h2\\nbind *:81"; an address with its options: one line of ASCII without quotes, `\\` and `#`',
  ],
  [
    "from: x-forwarded-for",
    "from: header",
    '+0:11: the text "header"; `connection`, `proxy-protocol` or `x-forwarded-for`: what says it',
  ],
  [
    "from: x-forwarded-for",
    "from: connection",
    "+1:14: a list; `from: proxy-protocol` or `from: x-forwarded-for` beside it: from a connection nobody is believed",
  ],
  [
    '    trusted: [10.0.0.0/8, "fd00::/8"]\n',
    "",
    '-1:11: the text "x-forwarded-for"; `trusted: [NETWORK]` for `x-forwarded-for`: without it any client could claim any address',
  ],
  [
    'trusted: [10.0.0.0/8, "fd00::/8"]',
    "trusted: [10.0.0.0/33]",
    '+0:15: the text "10.0.0.0/33"; a network such as 10.0.0.0/8 or fd00::/8',
  ],
  [
    'trusted: [10.0.0.0/8, "fd00::/8"]',
    'trusted: ["fe80::1%eth0/64"]',
    '+0:15: the text "fe80::1%eth0/64"; a network such as 10.0.0.0/8 or fd00::/8',
  ],
  [
    'trusted: [10.0.0.0/8, "fd00::/8"]',
    "trusted: [lb.example.com]",
    '+0:15: the text "lb.example.com"; a network such as 10.0.0.0/8 or fd00::/8',
  ],
  [
    'trusted: [10.0.0.0/8, "fd00::/8"]',
    "trusted: [10.0.0.1/8]",
    '+0:15: the text "10.0.0.1/8", which has bits behind its prefix; "10.0.0.0/8", or "10.0.0.1/32" for this address alone',
  ],
  [
    'trusted: [10.0.0.0/8, "fd00::/8"]',
    'trusted: ["::ffff:0:0/96"]',
    '+0:15: the text "::ffff:0:0/96"; the networks of your load balancers: this one is everybody\'s',
  ],
  [
    'trusted: [10.0.0.0/8, "fd00::/8"]',
    "trusted: [0.0.0.0/0]",
    '+0:15: the text "0.0.0.0/0"; the networks of your load balancers: this one is everybody\'s',
  ],
  ["scheme: https", "scheme: wss", '+0:11: the text "wss"; `http` or `https`: as clients see it'],
  [
    "orders: [orders.shop",
    "countersign-agent: [orders.shop",
    '+0:5: the key "countersign-agent"; a backend\'s name: letters, digits, `_`, `.`, `:` and `-`, at most 64 characters, not `countersign-agent` or `countersign-web`',
  ],
  [
    "orders: [orders.shop.svc.cluster.local:8080,",
    "orders: [orders.shop.svc.cluster.local,",
    '+0:14: the text "orders.shop.svc.cluster.local"; `HOST:PORT` or `unix:/PATH`, such as "10.0.0.7:8080"',
  ],
  [
    "orders: [orders.shop.svc.cluster.local:8080,",
    'orders: ["orders:80 check",',
    '+0:14: the text "orders:80 check"; `HOST:PORT` or `unix:/PATH`, such as "10.0.0.7:8080"',
  ],
  [
    "orders: [orders.shop.svc.cluster.local:8080,",
    'orders: ["[1.2]:80",',
    '+0:14: the text "[1.2]:80"; HOST:PORT with a port from 1 to 65535',
  ],
  [
    "orders: [orders.shop.svc.cluster.local:8080,",
    "orders: [orders:65536,",
    '+0:14: the text "orders:65536"; HOST:PORT with a port from 1 to 65535',
  ],
  [
    "legacy: external",
    "legacy: extrenal",
    '+0:13: the text "extrenal"; a list of servers, a mapping with `servers` and what else there is to say, or `external`: your own haproxy.cfg has it, such as ["10.0.0.7:8080"]',
  ],
  [
    "legacy: external",
    "legacy: []",
    '+0:13: an empty list; a list of servers, a mapping with `servers` and what else there is to say, or `external`: your own haproxy.cfg has it, such as ["10.0.0.7:8080"]',
  ],
  [
    "legacy: external",
    "legacy: {}",
    '+0:5: no "servers" here; a list of servers, each an address or `{ address: HOST:PORT, weight: 2 }`, such as ["10.0.0.7:8080"]',
  ],
  ["legacy: external", "legacy: [a:80, b:80, a:80]", '+0:26: the text "a:80" twice in one list; each of them once'],
  [
    "- unix:/run/files.sock",
    "- unix:run/files.sock",
    '+0:11: the text "unix:run/files.sock"; `HOST:PORT`, `unix:/PATH`, or `{ address: HOST:PORT, weight: 2 }`, such as "10.0.0.7:8080"',
  ],
  [
    "- unix:/run/files.sock",
    "- 10.0.0.8:8443",
    "+1:20: the server 10.0.0.8:8443 a second time; name it once, with a `weight` if it is to have more requests; the first is at countersign.yaml:+0:11",
  ],
  [
    "address: 10.0.0.8:8443",
    "address: 10.0.0.8:8443 ssl",
    '+0:20: the text "10.0.0.8:8443 ssl"; `HOST:PORT` or `unix:/PATH`, such as "10.0.0.7:8080"',
  ],
  [
    "address: 10.0.0.8:8443",
    "address: 10.0.0.8:0",
    '+0:20: the text "10.0.0.8:0"; HOST:PORT with a port from 1 to 65535',
  ],
  [
    "weight: 2",
    "weight: 0",
    "+0:19: the number 0; a whole number from 1 to 256: its share of the requests beside the others'",
  ],
  [
    "maxconn: 50",
    "maxconn: many",
    '+0:20: the text "many"; a whole number from 1 to 1000000: most connections to it; what is more waits',
  ],
  [
    "backup: true",
    "backup: yes",
    '+0:19: the text "yes"; true or false: whether it gets requests only when all others are down',
  ],
  [
    "proto: h2",
    "proto: grpc",
    '+0:14: the text "grpc"; `h2`, for gRPC and others that speak HTTP/2, or leave it out for HTTP/1.1',
  ],
  [
    "verify: required",
    'verify: "off"',
    '+0:17: the text "off"; `required` or `none`: whether the servers\' certificates are checked',
  ],
  [
    "verify: required",
    "verify: none",
    '+1:13: the text "/etc/haproxy/ca.pem"; leave it out, or `verify: required`: with `none` nothing is checked',
  ],
  [
    "ca: /etc/haproxy/ca.pem",
    "ca: ca.pem",
    '+0:13: the text "ca.pem"; the absolute path of a PEM file with the authorities of the servers\' certificates, as HAProxy sees it',
  ],
  [
    "ca: /etc/haproxy/ca.pem",
    'ca: "/etc/ca.pem verify none"',
    '+0:13: the text "/etc/ca.pem verify none"; the absolute path of a PEM file with the authorities of the servers\' certificates, as HAProxy sees it',
  ],
  [
    "server_name: files.shop",
    "server_name: files.shop) weight 0",
    '+0:22: the text "files.shop) weight 0"; the host name that the servers\' certificates must have, and that is asked for (SNI), such as "orders.shop.svc.cluster.local"',
  ],
  [
    "server_name: files.shop",
    "server_name: 10.0.0.8",
    '+0:22: the text "10.0.0.8"; the host name that the servers\' certificates must have, and that is asked for (SNI), such as "orders.shop.svc.cluster.local"',
  ],
  [
    "        server_name: files.shop\n",
    "",
    "-2:9: no `server_name`, and the server unix@/run/files.sock has none that its certificate could be held against; `server_name: NAME` with the name in the servers' certificates, or host names for servers",
  ],
  [
    "cert: /etc/haproxy/client.pem",
    'cert: "/etc/cl\'ient.pem"',
    '+0:15: the text "/etc/cl\'ient.pem"; the absolute path of a PEM file with the certificate and key that HAProxy shows the servers, as HAProxy sees it',
  ],
  [
    "interval: 1s",
    "interval: 1",
    "+0:19: the number 1; a duration (`500ms`, `30s`, `15m`, `12h`): the time between two checks",
  ],
  ["interval: 1s", "interval: 99ms", '+0:19: the text "99ms"; from 100ms to 1h'],
  [
    "fall: 2",
    "fall: 0",
    "+0:15: the number 0; a whole number from 1 to 100: checks in a row that fail until a server counts as down",
  ],
  [
    "rise: 1",
    "rise: 101",
    "+0:15: the number 101; a whole number from 1 to 100: checks in a row that succeed until a server counts as up again",
  ],
  [
    "deadline: 250ms",
    "deadline: 0.25s",
    '+0:11: the text "0.25s"; a duration (`500ms`, `30s`, `15m`, `12h`): how long the agent may take for one answer; HAProxy waits 100ms longer',
  ],
  ["deadline: 250ms", "deadline: 11s", '+0:11: the text "11s"; from 10ms to 10s'],
  [
    "identities: 5000",
    "identities: 0",
    "+0:15: the number 0; a whole number from 1 to 10000000: most identities; the least recently used give way",
  ],
  [
    "identities: 5000",
    "identities: 1.5",
    "+0:15: the number 1.5; a whole number from 1 to 10000000: most identities; the least recently used give way",
  ],
  ["lifetime: 1m", "lifetime: 25h", '+0:13: the text "25h"; from 1s to 24h'],
  [
    "refusals: 500",
    "refusals: many",
    '+0:13: the text "many"; a whole number from 1 to 1000000: most refused tokens that are remembered',
  ],
  ["token: 4KiB", "token: 65KiB", '+0:10: the text "65KiB"; from 256B to 64KiB'],
  [
    "connections: 16",
    "connections: 65537",
    "+0:16: the number 65537; a whole number from 1 to 65536: most connections from HAProxy",
  ],
  [
    "in_flight: 100",
    "in_flight: -1",
    "+0:14: the number -1; a whole number from 1 to 1000000: most requests being judged at a time",
  ],
  [
    "fetches: 4",
    'fetches: "4"',
    '+0:12: the text "4"; a whole number from 1 to 1024: most fetches from issuers at a time',
  ],
  [
    "level: debug",
    "level: trace",
    '+0:10: the text "trace"; `debug`, `info`, `warn` or `error`: the least that is written; decisions are written at any',
  ],
  [
    "decisions: refused",
    "decisions: none",
    '+0:14: the text "none"; `all`; `refused` for those only; or `replayable`: all, with what policies read of each',
  ],
  ["destination: stderr", "destination: syslog", '+0:16: the text "syslog"; `stdout` or `stderr`'],
  ["workers: 2", "workers: 0", `+0:10: the number 0; ${WORKERS}`],
  ["workers: 2", "workers: 1.5", `+0:10: the number 1.5; ${WORKERS}`],
  ["workers: 2", "workers: 1000", `+0:10: the number 1000; ${WORKERS}`],
  ["workers: 2", "workers: many", `+0:10: the text "many"; ${WORKERS}`],
  [
    'admin: "[::1]:9901"',
    "admin: 127.0.0.1:9001",
    "-11:7: the address 127.0.0.1:9001 a second time, for another worker; another address; the first is at countersign.yaml:+0:3",
  ],
  [
    "- 127.0.0.1:9000",
    "- 127.0.0.1:65535",
    "+0:7: 127.0.0.1:65535 for 2 workers, each of which takes a port; a port of at most 65534",
  ],
  [
    "trust_domain: mesh.example",
    "trust_domain: mesh.example.",
    '+0:17: the text "mesh.example."; the mesh\'s trust domain: labels of lower-case letters, digits and `-`, with dots between and none at the end, such as "cluster.local"',
  ],
  [
    "control_plane: linkerd-control",
    "control_plane: Linkerd",
    '+0:18: the text "Linkerd"; the namespace of Linkerd\'s control plane: lower-case letters, digits and `-`, at most 63 characters, such as "linkerd"',
  ],
  ...["haproxy", "proxy.front.", "10.0.0.1", "*.front", "a.b,c.d", "HAProxy.front", "proxy_x.front"].map(
    (value) =>
      [
        "identity: proxy.front",
        `identity: "${value}"`,
        `+0:13: the text ${JSON.stringify(value)}; HAProxy's mesh identity: \`ACCOUNT.NAMESPACE\` of its service account, \`ACCOUNT.NAMESPACE.serviceaccount.identity.…\`, or a SPIFFE id; in lower case, without wildcard, address, or dot at the end: Linkerd ignores what it cannot read, such as "haproxy.ingress"`,
      ] as const,
  ),
  [
    "trust_domain: mesh.example\n  control_plane: linkerd-control\n  identity: proxy.front",
    `trust_domain: ${LONG}.${LONG.slice(27)}\n  identity: ${LONG}.${LONG}`,
    "+1:13: an identity whose whole name has 260 characters; at most 253, with control plane and trust domain: Linkerd ignores a longer one",
  ],
  [
    "issuer: https://api.example.com",
    "issuer: api.example.com",
    `+0:11: the text "api.example.com"; ${ISSUER_OF_ASSERTION}`,
  ],
  [
    "issuer: https://api.example.com",
    "issuer: https://api.example.com/?a=b",
    `+0:11: the text "https://api.example.com/?a=b"; ${ISSUER_OF_ASSERTION}`,
  ],
  [
    "keys: assertion-keys.json",
    "keys: none.json",
    '+0:9: the text "none.json": it cannot be read: there is no such file; the file of a key ring; `countersign keys rotate FILE` makes one',
  ],
  [
    "keys: assertion-keys.json",
    "keys: authority.pem",
    '+0:9: the text "authority.pem": it is no JWK set, `{"keys": [...]}`, with each name once; the file of a key ring; `countersign keys rotate FILE` makes one',
  ],
  ["lifetime: 30s\n  claims", "lifetime: 2m\n  claims", '+0:13: the text "2m"; from 5s to 60s'],
  ["claims: [groups, act]", "claims: [groups, email]", '+0:20: the text "email"; groups, roles, scopes, act'],
  [
    "token_use: access",
    "token_use: []",
    `+0:18: an empty list; ${KIND_CLAIM}; or a list of these, of which one is enough`,
  ],
  ["token_use: access", "token_use: [[access]]", `+0:19: a list; ${KIND_CLAIM}`],
  [
    "token_use: access",
    '"token.*": access',
    '+0:18: the claim "token.*"; a claim\'s name, or names with dots between, such as `realm_access.roles`',
  ],
  [
    "token_use: access",
    "token_use: <access>",
    '+0:18: `<access>`, which has no meaning in a name; `{ prefix: ext- }` or `{ suffix: "@example.com" }`; `{ equals: "<access>" }` if it is really called so',
  ],
  ...(
    [
      ["true", "true; an address, or `false`: without this key it follows from `issuer`"],
      ["false", "false; `keys.url` or `keys.file` beside it: else there are no keys"],
      ["10.96.0.1", 'the text "10.96.0.1"; an address such as https://idp.example.com/keys'],
      [
        "http://10.96.0.1/",
        'the text "http://10.96.0.1/"; https: whoever stands between could swap the keys; http is for loopback only',
      ],
      ["https://a:b@10.96.0.1/", 'the text "https://…@10.96.0.1/"; an address without user name and password'],
      ["https://10.96.0.1/#a", 'the text "https://10.96.0.1/#a"; an address without fragment'],
    ] as const
  ).map(
    ([value, fault]): Mistake => [
      "discovery: https://10.96.0.1/.well-known/openid-configuration",
      `discovery: ${value}`,
      `+0:16: ${fault}`,
    ],
  ),
  [
    "bearer: token",
    "bearer: token\n      url: https://10.96.0.1/openid/v1/jwks",
    '-4:16: the text "https://10.96.0.1/.well-known/openid-configuration"; either this or `keys.url`: keys come from one place',
  ],
  [
    "preset: kubernetes",
    "preset: openshift",
    '+0:13: the text "openshift"; a provider whose tokens are known, which need not be said here then: `okta`, `entra`, `keycloak`, `auth0`, `cognito`, `google`, `github-actions`, `gitlab`, `kubernetes`, `dex`, `zitadel`, `authentik`, `spiffe-jwt`, `google-iap`, `cloudflare-access`, `aws-federation`',
  ],
  [
    "preset: kubernetes",
    "preset: Kubernetes",
    '+0:13: the text "Kubernetes"; did you mean "kubernetes"? a provider whose tokens are known, which need not be said here then: `okta`, `entra`, `keycloak`, `auth0`, `cognito`, `google`, `github-actions`, `gitlab`, `kubernetes`, `dex`, `zitadel`, `authentik`, `spiffe-jwt`, `google-iap`, `cloudflare-access`, `aws-federation`',
  ],
  [
    "preset: kubernetes",
    "preset: okta",
    '+2:13: the text "https://kubernetes.default.svc.cluster.local"; as the preset okta has it, such as https://example.okta.com/oauth2/default',
  ],
  [
    "preset: kubernetes\n    type: oidc\n    issuer: https://kubernetes.default.svc.cluster.local",
    "preset: okta",
    '-1:3: no "issuer" here; the URL that its tokens have as `iss`, byte for byte, such as "https://example.okta.com/oauth2/default"',
  ],
  ["audience: client_id", "audience: { keys_of: client_id }", '+0:19: unknown key "keys_of"; Known keys: first'],
  [
    "bearer: token",
    "bearer: nothing",
    '+0:15: the text "nothing" names a file that cannot be read: there is no such file; a readable file with a token',
  ],
  [
    "bearer: token",
    "bearer: countersign.yaml",
    '+0:15: the text "countersign.yaml" names a file that does not hold one token; a readable file with a token',
  ],
  [
    "[https://accounts.google.com, accounts.google.com]",
    "[https://accounts.google.com, https://accounts.google.com]",
    '+0:43: the text "https://accounts.google.com" twice in one list; each of them once',
  ],
  [
    "[https://accounts.google.com, accounts.google.com]",
    "[https://accounts.google.com, https://example.okta.com/oauth2/default]",
    '+0:43: the text "https://example.okta.com/oauth2/default"; a URL of its own: that of the issuer at countersign.yaml:@okta:3 is the same',
  ],
  [
    "[https://accounts.google.com, accounts.google.com]",
    "[accounts.google.com, 'https://*.google.com']",
    '+0:35: the text "https://*.google.com"; the issuer\'s whole URL, as its tokens have it: an issuer of its own for each that differs in this',
  ],
  [
    "[https://accounts.google.com, accounts.google.com]",
    "[]",
    '+0:13: an empty list; the URL that its tokens have as `iss`, byte for byte, such as "https://example.okta.com/oauth2/default"',
  ],
  [
    "url: https://www.googleapis.com/oauth2/v3/certs",
    "url: www.googleapis.com/oauth2/v3/certs",
    '+0:12: the text "www.googleapis.com/oauth2/v3/certs"; an address such as https://idp.example.com/keys',
  ],
  [
    "issuer: https://closed.example",
    "issuer: spiffe://example.org/workload",
    '+0:13: the text "spiffe://example.org/workload"; a SPIFFE trust domain without a path, such as spiffe://example.org',
  ],
  [
    "issuer: https://example.okta.com/oauth2/default",
    "issuer: spiffe://example.org",
    '+0:13: the text "spiffe://example.org"; `keys.url` or `keys.file` beside it: a trust domain does not say where its bundle is',
  ],
  ...(
    [
      ["nothing.json", "names a file that cannot be read: there is no such file"],
      ["authority.pem", "names a file that is no JSON object, or can be read in two ways"],
      ["no-keys.json", "names a file that does not do: the JWKS has no key that can be used (it is empty)"],
    ] as const
  ).map(
    ([value, fault]): Mistake => [
      "file: keys.json",
      `file: ${value}`,
      `+0:13: the text "${value}" ${fault}; a readable JWKS file`,
    ],
  ),
  [
    "file: keys.json",
    "file: keys.json\n      refresh: 1m",
    '+1:16: the text "1m"; no `refresh` beside `file`, which is read when it changes',
  ],
  [
    "log:\n",
    "LOG:\n",
    '+0:1: unknown key "LOG"; did you mean "log"? Known keys: listen, workers, policies, issuers, revoked, haproxy, audit, traces, mesh, assertion, sessions, deadline, cache, limits, log, dpop',
  ],
  [
    "- { subprotocol: bearer }",
    "- { query: access_token }",
    '+0:11: unknown key "query"; Known keys: header, from, subprotocol, cookie',
  ],
  ["- { subprotocol: bearer }", "- query", `+0:9: the text "query"; ${PLACE}`],
  [
    "- { subprotocol: bearer }",
    "- { cookie: a, header: x-a }",
    "+0:9: a mapping; one of `header`, `subprotocol` and `cookie`",
  ],
  ["- { subprotocol: bearer }", "- {}", "+0:9: an empty mapping; one of `header`, `subprotocol` and `cookie`"],
  [
    "- { subprotocol: bearer }",
    "- { cookie: a, from: client }",
    '+0:28: the text "client"; no `from` here: only of a header it is asked who wrote it',
  ],
  [
    "- { subprotocol: bearer }",
    "- authorization",
    '+0:9: the text "authorization" twice in one list; each of them once',
  ],
  [
    "- { subprotocol: bearer }",
    "- { subprotocol: a.b }",
    '+0:24: the text "a.b"; what the subprotocol begins with that is the credential, before a dot: letters, digits, `_` and `-`, at most 64, such as "bearer"',
  ],
  [
    "cookie: __Host-token",
    "cookie: a b",
    '+0:19: the text "a b"; a cookie\'s name: letters, digits, `_` and `-`, at most 64, such as "__Host-token"',
  ],
  [
    "header: x-token, from: client",
    "header: x-token",
    "+0:9: a mapping; `from: client`, or `from: [NETWORK]` of the hop that puts it there and takes away what clients send",
  ],
  [
    "header: x-token, from: client",
    "header: authorization, from: client",
    '+0:19: the text "authorization"; `authorization` in place of the mapping',
  ],
  [
    "header: x-token, from: client",
    "header: content-type, from: client",
    '+0:19: the text "content-type"; another name: HAProxy, or a proxy after it, sets or reads this one itself',
  ],
  [
    "header: x-token, from: client",
    "header: true-client-ip, from: client",
    '+0:19: the text "true-client-ip"; another header: HAProxy takes this one away from every request',
  ],
  [
    "header: x-token, from: client",
    "header: X-Token, from: client",
    '+0:19: the text "X-Token"; a request header\'s name: lower-case letters, digits and `-`, at most 64, such as "x-goog-iap-jwt-assertion"',
  ],
  [
    "header: x-token, from: client",
    "header: x-token, from: anyone",
    '+0:34: the text "anyone"; `client`, or a list of networks: those of the hop before HAProxy that puts it there, such as "client" or ["35.191.0.0/16","130.211.0.0/22"]',
  ],
  [
    "header: x-token, from: client",
    "header: x-token, from: [10.0.0.0/33]",
    '+0:35: the text "10.0.0.0/33"; a network such as 10.0.0.0/8 or fd00::/8',
  ],
  [
    "header: x-token, from: client",
    'header: x-token, from: ["fd00::7/8"]',
    '+0:35: the text "fd00::7/8", which has bits behind its prefix; "fd00::/8", or "fd00::7/128" for this address alone',
  ],
  [
    "header: x-token, from: client",
    "header: x-token, from: [0.0.0.0/0]",
    '+0:35: the text "0.0.0.0/0"; the networks of your load balancers: this one is everybody\'s',
  ],
  [
    "header: x-token, from: client",
    "header: x-id-token, from: client",
    '@identity_prefix:20: the text "x-id-"; a prefix of your own, such as x-auth-: HAProxy removes all that begins so, x-id-token too',
  ],
  ["proofs: [certificate]", "proofs: [mtls]", '+0:14: the text "mtls"; `dpop` or `certificate`'],
  ["id: gateway", "id: 7", "+0:13: the number 7; the client's id at the issuer"],
  [
    "key: agent.key\n        key_id",
    "key: authority.pem\n        key_id",
    '+0:14: the text "authority.pem" names a file without such a key; a PEM file with a private key that is not encrypted: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519',
  ],
  [
    "key: agent.key\n        key_id",
    "secret: a\n        key_id",
    '+1:17: the text "gateway-1"; no `key_id` beside `secret`',
  ],
  ["key_id: gateway-1", "key_id: []", "+0:17: an empty list; the key's id at the issuer"],
  [
    "endpoint: https://example.okta.com",
    "endpoint: http://example.okta.com",
    '+0:17: the text "http://example.okta.com/oauth2/default/v1/token"; https: tokens and the client\'s secret are sent there; http is for loopback only',
  ],
  ["timeout: 1500ms", "timeout: 10ms", '+0:16: the text "10ms"; from 100ms to 1m'],
  ["max_size: 32KiB", "max_size: 2MiB", '+0:17: the text "2MiB"; from 1KiB to 1MiB'],
  [
    "concurrency: 8",
    "concurrency: 0",
    "+0:20: the number 0; a whole number from 1 to 256: most exchanges at a time; the others wait",
  ],
  [
    "agents: [https://bot.example",
    "agents: [http://bot.example",
    '+0:14: the text "http://bot.example/.well-known/http-message-signatures-direc…"; the whole https address of one directory of keys, without user, query and fragment, such as https://bot.example/.well-known/http-message-signatures-directory',
  ],
  [
    "[api://bots]",
    "[7]",
    "+0:17: the number 7; an audience; `{ equals: AUDIENCE }` for one with `*` or another sign of patterns in it",
  ],
  ["signature_age: 4m", "signature_age: 2h", '+0:20: the text "2h"; from 10s to 1h'],
  ["clock_tolerance: 3s", "clock_tolerance: 2h", '+0:22: the text "2h"; from 0s to 5m'],
  [
    "reuse: accept",
    "reuse: never",
    '+0:12: the text "never"; `refuse`, or `accept`: whether one signature may be shown with several requests',
  ],
  ["refresh: 7m", "refresh: 1s", '+0:16: the text "1s"; from 10s to 24h'],
  ["cooldown: 20s", "cooldown: 0s", '+0:17: the text "0s"; from 1s to 1h'],
  ["max_stale: 11h", "max_stale: 1s", '+0:18: the text "1s"; from 1m to 168h'],
  [
    "max_size: 16KiB",
    "max_size: 16MB",
    '+0:17: the text "16MB"; a size (`512B`, `8KiB`, `1MiB`): the largest answer of the issuer',
  ],
  ["timeout: 2500ms", "timeout: 2m", '+0:16: the text "2m"; from 100ms to 1m'],
  [
    "ca: clients.pem\n    proxy: none",
    "ca: absent.pem\n    proxy: none",
    '+0:9: the text "absent.pem" names a file that cannot be read: there is no such file; a readable PEM file with certificates',
  ],
  [
    "proxy: none\nhaproxy",
    "proxy: ftp://a\nhaproxy",
    "+0:12: an address that is not http://HOST:PORT; `environment`, `none`, or a proxy's address, such as http://proxy.example.com:3128",
  ],
  [
    "unbound: accept",
    "unbound: reject",
    '+0:14: the text "reject"; `accept` or `refuse`: what is done with tokens that are bound to no key',
  ],
  [
    "proofs: [certificate]\n    unbound: accept",
    "unbound: refuse",
    '+0:14: the text "refuse"; `proofs` beside it, such as [dpop]: else no token would be taken, bound or not',
  ],
  [
    "[ES256, EdDSA]",
    "[HS256]",
    '+0:16: the text "HS256"; one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519; never `none` or HMAC (HS256 and kin): a proof is signed with a key that nobody else has',
  ],
  ["max_age: 30s", "max_age: 1s", '+0:12: the text "1s"; from 5s to 10m'],
  ["clock_tolerance: 2s", "clock_tolerance: 1h", '+0:20: the text "1h"; from 0s to 5m'],
  [
    "nonces: true",
    "nonces: 7",
    "+0:11: the number 7; true or false: whether a proof has to bear a nonce that the agent has given out",
  ],
  [
    "secret: a secret of at least 32 characters",
    "secret: hunter2",
    "+0:11: a secret of 7 characters; at least 32, such as `openssl rand -hex 32` gives",
  ],
  ["ports: [8443]", "ports: [0]", "+0:11: the number 0; a whole number from 1 to 65535: a port"],
  [
    "remembered: 5000",
    "remembered: 10",
    "+0:15: the number 10; a whole number from 1000 to 10000000: most proofs that one agent remembers; past it they are refused",
  ],
  ...["http://agent:secret@redis", "redis:agent:secret", "agent:secret@redis.example.com"].map(
    (url) =>
      [
        "rediss://agent:secret@redis.example.com:6380",
        url,
        "+0:10: an address that is not redis://HOST:PORT; redis://HOST:PORT, or rediss://HOST:PORT for TLS, with user and password where it wants them",
      ] as const,
  ),
  ["timeout: 50ms", "timeout: 1ms", '+0:14: the text "1ms"; from 10ms to 5s'],
  ...(
    [
      ["collector.example.com:4318", "an address that is not http:// or https://"],
      ["ftp://collector.example.com/v1/traces", "an address that is not http:// or https://"],
      ["https://collector.example.com:4318", "an address without a path"],
    ] as const
  ).map(
    ([url, found]) =>
      [
        "endpoint: https://collector.example.com:4318/v1/traces",
        `endpoint: ${url}`,
        `+0:13: ${found}; https://HOST:4318/v1/traces, or http:// in a network that is trusted`,
      ] as const,
  ),
  [
    "endpoint: https://collector.example.com:4318/v1/traces",
    "endpoint: https://agent:secret@collector.example.com:4318/v1/traces",
    "+0:13: an address with a user or password; a header `authorization` under `headers` instead",
  ],
  [
    "endpoint: https://collector.example.com:4318/v1/traces",
    "endpoint: http://collector.example.com:4318/v1/traces",
    "+0:13: plain http to another machine; https, where `headers` are sent",
  ],
  [
    "timeout: 3s\n  proxy: none",
    "timeout: 3s\n  proxy: agent:secret",
    "+1:10: an address that is not http://HOST:PORT; `environment`, `none`, or a proxy's address, such as http://proxy.example.com:3128",
  ],
  ["timeout: 3s", "timeout: 2m", '+0:12: the text "2m"; from 100ms to 1m'],
  [
    "name: ingress-1",
    "name: ingress 1",
    '+0:9: the text "ingress 1"; whose log it is: letters, digits, `.`, `_`, `/` and `-`; default: the machine\'s name, such as "ingress-1"',
  ],
  [
    "file: audit.log",
    "file: ''",
    '+0:9: an empty text; what the segments\' names begin with, such as "/var/lib/countersign/audit.log"',
  ],
  [
    "key: audit.key",
    "key: ''",
    '+0:8: an empty text; a file that `countersign audit init` has made, and that the agent may replace, such as "/var/lib/countersign/audit.key"',
  ],
  ["checkpoint: 2s", "checkpoint: 1ms", '+0:15: the text "1ms"; from 100ms to 1h'],
  [
    "sync: checkpoint",
    "sync: always",
    '+0:9: the text "always"; `checkpoint`: what was signed outlives a loss of power; or `never`',
  ],
  [
    "on_full: deny",
    "on_full: allow",
    '+0:12: the text "allow"; `deny`: without room nothing is let through; or `gap`: how many are missing is recorded',
  ],
  ["max_size: 1MiB", "max_size: 1KiB", '+0:13: the text "1KiB"; from 64KiB to 1023MiB'],
  [
    "pseudonyms: 0123456789abcdef0123456789abcdef",
    "pseudonyms: short",
    "+0:15: a secret of 5 characters; at least 32, such as `openssl rand -hex 32` gives",
  ],
  [
    "revoked: revoked.yaml",
    "revoked: absent.yaml",
    '+0:10: the text "absent.yaml" names a file that cannot be read: there is no such file; a file with `revoked: []`, a list of what was taken back',
  ],
];

/** The same with the lines of the file. */
export const MISTAKES: readonly Mistake[] = CHANGES.map(([from, to, ...faults]) => {
  const line = lineOf(from);
  const placed = (fault: string) =>
    fault
      .replace(/(?<=^|countersign\.yaml:)[+-]\d+(?=:)/g, (distance) => String(line + Number(distance)))
      .replace(/(?<=^|countersign\.yaml:)@(\w+)(?=:)/g, (_, key) => String(lineOf(` ${key}:`)));
  return [from, to, ...faults.map(placed)];
});

function lineOf(text: string): number {
  return EVERY_KEY.slice(0, EVERY_KEY.indexOf(text)).split("\n").length;
}
