import { hash } from "node:crypto";
import type { Principal } from "../../../policies/principal.ts";
import { Slots } from "../../http/slots.ts";
import type { Evidence } from "../issuer/evidence.ts";
import type { Finding, Issuer, IssuerReport, IssuerType } from "../issuer/issuer.ts";
import type { Refusal } from "../issuer/refusal.ts";
import type { World } from "../issuer/world.ts";
import type { Key } from "../jwt/key.ts";
import { KeySet, type Wanted } from "../oidc/keys.ts";
import { DIRECTORY } from "./directory.ts";
import { readHttpSignature, type SignatureIssuer } from "./section.ts";
import { readSigned, type Signed, signedRequest } from "./signed.ts";

/** Agents that sign their requests: Web Bot Auth, draft-ietf-webbotauth-httpsig-protocol-01 over RFC 9421. */
export const HTTP_SIGNATURE: IssuerType<SignatureIssuer> = {
  revocable: ["key_id"],
  read: readHttpSignature,
  create: (config, world) => new SignatureVerifier(config, world),
};

/** Of JWS, as keys are told to be for them. */
const ALGORITHMS = ["Ed25519", "ES256", "ES384", "PS512"];
/** Signatures under way at a time: checked, or waiting for a directory. */
const MOST_CHECKS = 1024;
/** Directories that are fetched at a time. */
const MOST_FETCHES = 16;

const OVERLOADED: Refusal = { reason: "overloaded" };

/** The agents of one issuer, each with a directory of its own. A key counts for its directory's agent and for no other. */
class SignatureVerifier implements Issuer {
  readonly config: SignatureIssuer;
  readonly #directories: ReadonlyMap<string, KeySet>;
  readonly #world: World;
  readonly #asked: Promise<unknown>;
  #checking = 0;

  constructor(config: SignatureIssuer, world: World) {
    this.config = config;
    this.#world = world;
    // Slots of their own: directories are strangers', and however slow they are, no provider's keys wait for them.
    const own = { ...world, slots: new Slots(MOST_FETCHES) };
    this.#directories = new Map(config.agents.map((url) => [url, new KeySet(ownerOf(config, url), own, DIRECTORY)]));
    this.#asked = Promise.all(this.#all.map((keys) => keys.refresh()));
  }

  get #all(): readonly KeySet[] {
    return [...this.#directories.values()];
  }

  get version(): number {
    return this.#all.reduce((sum, { version }) => sum + version, 0);
  }

  get patience(): number {
    return this.config.keys.timeout;
  }

  owns(): boolean {
    return true;
  }

  verify({ text }: Evidence, now: number, wanted: () => boolean): Refusal | Promise<Finding> {
    const signed = readSigned(signedRequest(text));
    if ("reason" in signed) return signed;
    const directory = this.#directories.get(signed.directory);
    if (directory === undefined) return { reason: "issuer-unknown", claim: "Signature-Agent" };
    const fault = this.#datesFault(signed, now);
    if (fault !== undefined) return fault;
    if (this.#checking >= MOST_CHECKS) return OVERLOADED;
    const key: Wanted = {
      algorithm: signed.algorithm,
      kid: signed.thumbprint,
      issuedAt: signed.createdAt / 1000,
      arrivedAt: now,
    };
    const selection = directory.select(key, now);
    if ("reason" in selection) return selection;
    this.#checking++;
    return this.#found(signed, directory, key, selection, wanted).finally(() => this.#checking--);
  }

  async ready(): Promise<void> {
    await Promise.all([this.#world.signatures.start(), this.#asked]);
  }

  status(): IssuerReport {
    const all = this.#all;
    const failing = all.find(({ error }) => error !== undefined);
    return {
      identities: all.flatMap(({ keys }) => keys).reduce((sum, { identities }) => sum + identities, 0),
      succeededAt: latest(all.map(({ succeededAt }) => succeededAt)),
      failedAt: latest(all.map(({ failedAt }) => failedAt)),
      error: failing?.error,
      details: { agents: all.filter(({ keys }) => keys.length > 0).length },
    };
  }

  close(): void {
    for (const directory of this.#all) directory.close();
  }

  #datesFault({ createdAt, expiresAt }: Signed, now: number): Refusal | undefined {
    const { maxAge, clockTolerance } = this.config;
    if (createdAt > now + clockTolerance) return { reason: "token-not-yet-valid", claim: "created" };
    if (now >= expiresAt) return { reason: "token-expired", claim: "expires" };
    return now >= createdAt + maxAge ? { reason: "token-expired", claim: "created" } : undefined;
  }

  async #found(
    signed: Signed,
    directory: KeySet,
    wantedKey: Wanted,
    selection: Exclude<ReturnType<KeySet["select"]>, { readonly reason: unknown }>,
    wanted: () => boolean,
  ): Promise<Finding> {
    if ("pending" in selection) await selection.pending;
    const found = "pending" in selection ? directory.reselect(wantedKey, this.#world.clock()) : selection;
    if ("reason" in found) return found;
    const [key] = found.keys;
    if (key === undefined) return { reason: "key-unknown" };
    const outcome = await this.#check(signed, key, wanted);
    if (outcome !== true) return outcome;
    const now = this.#world.clock();
    // Time has passed, and the agent may have withdrawn the key meanwhile.
    const fault = this.#datesFault(signed, now);
    if (fault !== undefined) return fault;
    return now < key.until ? this.#proven(signed, key) : directory.missing();
  }

  async #check({ base, signature, algorithm }: Signed, key: Key, wanted: () => boolean): Promise<true | Finding> {
    try {
      const outcome = await this.#world.signatures.check(`${base}.${signature}`, algorithm, key, wanted);
      if (outcome === "dropped") return OVERLOADED;
      return outcome ? true : { reason: "signature-invalid", lasting: true };
    } catch {
      return { reason: "agent-error" };
    }
  }

  #proven(signed: Signed, key: Key): Finding {
    const { reuse } = this.config;
    const once = { digest: replayDigest(signed), madeAt: signed.createdAt };
    return { principal: this.#principal(signed), basis: key, ...(reuse === "refuse" && { confirmation: { once } }) };
  }

  #principal({ directory, thumbprint, createdAt, expiresAt }: Signed): Principal {
    const { name, audiences, maxAge } = this.config;
    return Object.freeze({
      issuer: name,
      subject: directory,
      kind: "agent",
      groups: [],
      scopes: [],
      audiences,
      claims: Object.freeze({ key_id: thumbprint }),
      client: undefined,
      actor: [],
      arn: undefined,
      uri: undefined,
      authenticatedAt: undefined,
      expiresAt: Math.min(expiresAt, createdAt + maxAge),
      bound: "",
    });
  }
}

/** What the keys of one directory are fetched by. */
function ownerOf(
  { name, clockTolerance, ca, proxy, keys }: SignatureIssuer,
  url: string,
): ConstructorParameters<typeof KeySet>[0] {
  return {
    name,
    issuer: url,
    algorithms: ALGORITHMS,
    clockTolerance,
    ca,
    proxy,
    keys: { ...keys, source: { url }, bearer: undefined },
  };
}

/** Of what is signed: one signature may be written in two ways, and both are the same one. */
function replayDigest({ thumbprint, nonce, base }: Signed): string {
  return hash("sha256", nonce === undefined ? `signed ${base}` : `nonce ${thumbprint} ${nonce}`, "binary");
}

function latest(times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
