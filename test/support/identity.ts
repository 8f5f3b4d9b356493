import { setImmediate } from "node:timers/promises";
import type { DpopConfig, IssuerConfig } from "../../agent/config/config.ts";
import type { Revocation } from "../../agent/config/files/revoked.ts";
import { type Send, send } from "../../agent/http/fetch.ts";
import type { CertificateIssuer } from "../../agent/identity/certificate/section.ts";
import type { SignatureIssuer } from "../../agent/identity/http-signature/section.ts";
import { createIdentity, type Identity, type IdentityEvents, type Offered } from "../../agent/identity/identity.ts";
import type { IssuerTypes } from "../../agent/identity/issuer/issuer.ts";
import type { Due } from "../../agent/identity/issuer/world.ts";
import type { MeshIssuer } from "../../agent/identity/mesh/section.ts";
import { discoveryUrl } from "../../agent/identity/oidc/discovery.ts";
import type { OidcIssuer } from "../../agent/identity/oidc/section.ts";
import { ISSUER_TYPES } from "../../agent/identity/types.ts";
import { DPOP } from "./agent.ts";
import { Clockwork } from "./clockwork.ts";

type Changes = Omit<Partial<OidcIssuer>, "keys"> & { readonly keys?: Partial<OidcIssuer["keys"]> };

/** An issuer's configuration as the documentation's example has it, for a test provider's tokens. */
export function oidcIssuer(issuer: string, { keys = {}, ...changes }: Changes = {}): OidcIssuer {
  return {
    name: "provider",
    type: "oidc",
    issuer,
    audiences: ["api://orders"],
    credentials: ["bearer"],
    kinds: undefined,
    algorithms: ["RS256", "ES256", "EdDSA"],
    claims: {
      subject: "sub",
      groups: "groups",
      scopes: "scope",
      kind: "client_kind",
      client: undefined,
      audience: "aud",
    },
    require: [],
    kind: "person",
    kindRules: [],
    proofs: [],
    unbound: "accept",
    tokenTypes: ["at+jwt", "JWT"],
    idTokens: "refuse",
    clockTolerance: 30_000,
    keys: {
      source: { discovery: discoveryUrl(issuer) },
      bearer: undefined,
      refresh: 300_000,
      cooldown: 10_000,
      maxStale: 86_400_000,
      maxSize: 1 << 20,
      timeout: 5_000,
      ...keys,
    },
    ca: undefined,
    proxy: undefined,
    ...changes,
  };
}

/** An issuer's configuration for the certificates of one authority, as a section with `identity` and `ca` alone has it. */
export function certificateIssuer(changes: Partial<CertificateIssuer> = {}): CertificateIssuer {
  const { identity = "dns", trustDomain = "" } = changes;
  return {
    name: "machines",
    type: "client-certificate",
    issuer: identity === "spiffe" ? `spiffe://${trustDomain}` : `${identity} of machines`,
    credentials: ["client-certificate"],
    audiences: [],
    kinds: ["workload"],
    identity,
    trustDomain,
    ca: [],
    crl: undefined,
    kind: "workload",
    ...changes,
  };
}

/** Clients of HAProxy's own mesh. @param admin of the proxy in HAProxy's pod */
export function meshIssuer(admin: string, changes: Partial<MeshIssuer> = {}): MeshIssuer {
  return {
    name: "mesh",
    type: "mesh",
    issuer: "mesh",
    credentials: ["mesh"],
    audiences: ["api://orders"],
    kinds: ["workload"],
    trustDomain: "cluster.local",
    controlPlane: "linkerd",
    namespaces: [],
    kind: "workload",
    bind: "*:8081",
    port: 8081,
    pods: { app: "haproxy" },
    admin,
    ...changes,
  };
}

/** A configured issuer of agents that sign their requests, by their directories. */
export function signatureIssuer(agents: readonly string[], changes: Partial<SignatureIssuer> = {}): SignatureIssuer {
  return {
    name: "bots",
    type: "http-signature",
    issuer: "http-signature",
    credentials: ["signature"],
    audiences: ["api://orders"],
    kinds: ["agent"],
    agents,
    maxAge: 300_000,
    clockTolerance: 30_000,
    reuse: "refuse",
    keys: { refresh: 300_000, cooldown: 1_000, maxStale: 86_400_000, maxSize: 1 << 20, timeout: 5_000 },
    ca: undefined,
    proxy: undefined,
    ...changes,
  };
}

export interface IdentitySetup {
  readonly time?: Clockwork;
  readonly send?: Send;
  readonly previous?: Identity;
  readonly identities?: number;
  readonly lifetime?: number;
  readonly refusals?: number;
  readonly deadline?: number;
  readonly fetches?: number;
  readonly types?: IssuerTypes;
  readonly dpop?: DpopConfig;
  readonly revoked?: readonly Revocation[];
  readonly due?: (due: Due) => void;
}

/** Everything that was told: `discovery ok`, `jwks error`, `hit`, `miss`, `refusal_hit`. */
export class Told implements IdentityEvents {
  readonly all: string[] = [];
  readonly #waiting = new Set<{ what: string; resolve: () => void }>();

  fetched(_issuer: string, what: Parameters<IdentityEvents["fetched"]>[1], outcome: "ok" | "error"): void {
    this.#tell(`${what} ${outcome}`);
  }

  /** The kids and whys of each JWKS that was read. */
  readonly unusables: (readonly { readonly kid: string | undefined; readonly why: string }[])[] = [];

  unusable(_issuer: string, keys: readonly { readonly kid: string | undefined; readonly why: string }[]): void {
    this.unusables.push(keys);
  }

  proofStore(problem: string | undefined): void {
    this.#tell(problem === undefined ? "store ok" : "store error");
  }

  sessionStore(_issuer: string, problem: string | undefined): void {
    this.#tell(problem === undefined ? "sessions ok" : "sessions error");
  }

  cache(outcome: "hit" | "miss" | "refusal_hit"): void {
    this.#tell(outcome);
  }

  count(what: string): number {
    return this.all.filter((told) => told === what).length;
  }

  /** Settles once something that ends so is told the next time, and what follows from it has been done. */
  async next(what: string): Promise<void> {
    await new Promise<void>((resolve) => this.#waiting.add({ what, resolve }));
    await setImmediate();
  }

  #tell(what: string): void {
    this.all.push(what);
    for (const waiter of this.#waiting) {
      if (what.endsWith(waiter.what) && this.#waiting.delete(waiter)) waiter.resolve();
    }
  }
}

/** An identity whose clock and timers the test holds. */
export function startIdentity(issuers: readonly (OidcIssuer | IssuerConfig)[], setup: IdentitySetup = {}) {
  const {
    time = new Clockwork(),
    previous,
    identities = 1000,
    lifetime = 300_000,
    refusals = 100,
    deadline = 400,
    fetches = 16,
    types = ISSUER_TYPES,
    revoked = [],
  } = setup;
  const told = new Told();
  const identity = createIdentity(issuers, {
    cache: { identities, lifetime, refusals },
    limits: { token: 8192, fetches },
    dpop: setup.dpop ?? DPOP,
    send: setup.send ?? send,
    clock: time.clock,
    schedule: time.schedule,
    events: told,
    deadline,
    previous,
    types,
    revoked,
    due: setup.due,
  });
  const verify = async (credential: Offered) => identity.verify(credential, time.now);
  return {
    identity,
    time,
    told,
    verify,
    /** The reason of a refusal, or `proven`. */
    async judge(credential: Offered): Promise<string> {
      const verification = await verify(credential);
      return verification.principal === undefined ? verification.reason : "proven";
    },
  };
}
