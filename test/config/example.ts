import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ringText, rotated } from "../../agent/assertion/rotate.ts";
import { rotatedSealing, sealingText } from "../../agent/config/files/sealing-ring.ts";
import { type LoadedConfig, loadConfig } from "../../agent/config/load-config.ts";
import { isOidc, type OidcIssuer } from "../../agent/identity/oidc/section.ts";
import { ISSUER_TYPES } from "../../agent/identity/types.ts";
import { faultText } from "../../policies/fault.ts";
import { AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";

/** A configuration with every key there is, one a line. */
export const EVERY_KEY = `listen:
  spop:
    - 127.0.0.1:9000
    - address: unix:/run/countersign/spop.sock
      mode: "0600"
      group: haproxy
      haproxy: unix@/countersign/spop.sock
    - address: 10.0.0.5:9000
      tls:
        cert: agent.pem
        key: agent.key
        client_ca: clients.pem
        client_names: [haproxy.example.com, spiffe://example.org/haproxy]
  admin: "[::1]:9901"
  web: 127.0.0.1:8902
policies: ./policies
issuers:
  okta:
    type: oidc
    issuer: https://example.okta.com/oauth2/default
    audiences: [api://orders]
    algorithms: [RS256, ES256]
    claims:
      subject: uid
      groups: roles
      scopes: scope
      kind: client_kind
      client: cid
    kind: workload
    token_types: [at+jwt]
    id_tokens: accept
    clock_tolerance: 5s
    keys:
      refresh: 10m
      cooldown: 30s
      max_stale: 12h
      max_size: 64KiB
      timeout: 2s
    ca: authority.pem
    proxy: http://agent:secret@proxy.example.com:3128
    require:
      token_use: access
    credentials:
      - authorization
      - { header: x-goog-iap-jwt-assertion, from: [35.191.0.0/16, "fd00::/8"] }
      - { header: x-token, from: client }
      - { subprotocol: bearer }
      - { cookie: __Host-token }
    proofs: [certificate]
    unbound: accept
    exchange:
      client:
        id: gateway
        key: agent.key
        key_id: gateway-1
      endpoint: https://example.okta.com/oauth2/default/v1/token
      timeout: 1500ms
      max_size: 32KiB
      concurrency: 8
  cluster:
    preset: kubernetes
    type: oidc
    issuer: https://kubernetes.default.svc.cluster.local
    audiences: [api://orders]
    discovery: https://10.96.0.1/.well-known/openid-configuration
    claims:
      audience: client_id
    keys:
      bearer: token
  google:
    type: oidc
    issuer: [https://accounts.google.com, accounts.google.com]
    audiences: [api://orders]
    keys:
      url: https://www.googleapis.com/oauth2/v3/certs
  closed:
    type: oidc
    issuer: https://closed.example
    audiences: [api://orders]
    keys:
      file: keys.json
  bots:
    type: http-signature
    agents: [https://bot.example/.well-known/http-message-signatures-directory]
    audiences: [api://bots]
    signature_age: 4m
    clock_tolerance: 3s
    reuse: accept
    keys:
      refresh: 7m
      cooldown: 20s
      max_stale: 11h
      max_size: 16KiB
      timeout: 2500ms
    ca: clients.pem
    proxy: none
haproxy:
  version: "3.2"
  identity_prefix: x-id-
  bind: ["*:443 ssl crt a ca-file b verify optional alpn h2,http/1.1"]
  client:
    from: x-forwarded-for
    trusted: [10.0.0.0/8, "fd00::/8"]
  scheme: https
  largest_body: 64KiB
  access_log: [client, actor]
  agents:
    servers: [agent-1.example.com:9000, 10.0.0.6:9000]
    tls:
      cert: /etc/haproxy/agent.pem
      ca: /etc/haproxy/agents.pem
      server_name: countersign.example.com
  backends:
    orders: [orders.shop.svc.cluster.local:8080, unix:/run/orders.sock]
    legacy: external
    files:
      servers:
        - unix:/run/files.sock
        - address: 10.0.0.8:8443
          weight: 2
          maxconn: 50
          backup: true
      proto: h2
      tls:
        verify: required
        ca: /etc/haproxy/ca.pem
        server_name: files.shop
        cert: /etc/haproxy/client.pem
      check:
        interval: 1s
        fall: 2
        rise: 1
deadline: 250ms
cache:
  identities: 5000
  lifetime: 1m
  refusals: 500
limits:
  token: 4KiB
  connections: 16
  in_flight: 100
  fetches: 4
audit:
  name: ingress-1
  file: audit.log
  key: audit.key
  checkpoint: 2s
  sync: checkpoint
  on_full: deny
  max_size: 1MiB
  pseudonyms: 0123456789abcdef0123456789abcdef
traces:
  endpoint: https://collector.example.com:4318/v1/traces
  headers:
    Authorization: Bearer abc
  timeout: 3s
  proxy: none
log:
  level: debug
  decisions: refused
  destination: stderr
workers: 2
mesh:
  trust_domain: mesh.example
  control_plane: linkerd-control
  identity: proxy.front
assertion:
  issuer: https://api.example.com
  keys: assertion-keys.json
  lifetime: 30s
  claims: [groups, act]
dpop:
  algorithms: [ES256, EdDSA]
  max_age: 30s
  clock_tolerance: 2s
  nonces: true
  secret: a secret of at least 32 characters
  ports: [8443]
  remembered: 5000
  store:
    url: rediss://agent:secret@redis.example.com:6380
    timeout: 50ms
revoked: revoked.yaml
`;

/** A key ring of one key. */
export const RING = ringText(rotated([], { now: 0, after: 0, algorithm: "ES256" }));
/** A JWKS of one key. */
export const KEYS = JSON.stringify({
  keys: [{ kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", kid: "k" }],
});

/** The shortest configuration: what it does not say has its default. */
export const SHORTEST = `listen: { spop: [127.0.0.1:9000] }
policies: [a.yaml, b]
issuers: { okta: { type: oidc, issuer: https://example.com, audiences: [orders] } }
haproxy: { bind: ["*:80"], scheme: http }
`;

/** What a configuration writes for an environment variable. */
export function env(name: string): string {
  return `\${env:${name}}`;
}

/** What a configuration writes for a file's text. */
export function file(name: string): string {
  return `\${file:${name}}`;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** A directory of one test, with files that configurations refer to. */
export class Files {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
    this.write("authority.pem", AUTHORITY);
    this.write("agent.pem", SERVER_CERTIFICATE);
    this.write("agent.key", SERVER_KEY);
    this.write("clients.pem", AUTHORITY);
    this.write("assertion-keys.json", RING);
    this.write("session-keys.json", sealingText(rotatedSealing([], 0, 0)));
    this.write("revoked.yaml", "revoked: []\n");
    this.write("token", "eyJ.eyJ.sig\n");
    this.write("keys.json", KEYS);
    this.write("no-keys.json", '{"keys":[]}');
  }

  write(name: string, content: string | Uint8Array): string {
    const path = join(this.directory, name);
    writeFileSync(path, content);
    return path;
  }

  load(text: string | Uint8Array, environment: Environment = {}): LoadedConfig {
    return loadConfig(this.write("countersign.yaml", text), environment, ISSUER_TYPES);
  }

  /** Faults as `line:column: found; right`. */
  faults(text: string | Uint8Array, environment: Environment = {}): readonly string[] {
    const loaded = this.load(text, environment);
    if (!("faults" in loaded)) return [];
    const [directory, file] = [`${this.directory}/`, "countersign.yaml:"];
    return loaded.faults.map((fault) => faultText(fault).replaceAll(directory, "").replace(file, ""));
  }
}

/** The issuers that a configuration has, held to be OpenID Connect providers. */
export function oidcIssuersOf(loaded: LoadedConfig): readonly OidcIssuer[] {
  if (!("config" in loaded)) throw new Error(JSON.stringify(loaded.faults));
  const issuers = loaded.config.issuers.filter(isOidc);
  if (issuers.length < loaded.config.issuers.length) throw new Error("another type");
  return issuers;
}
