import type { Principal } from "../../../policies/principal.ts";
import type { Evidence } from "../issuer/evidence.ts";
import type { Basis, Finding, Issuer, IssuerReport, IssuerType, Unproven } from "../issuer/issuer.ts";
import { idOf, isKey } from "./key.ts";
import type { KeyRecord } from "./records.ts";
import { type ApiKeyIssuer, readApiKey } from "./section.ts";

/** Keys by a file with their digests. */
export const API_KEY: IssuerType<ApiKeyIssuer> = {
  revocable: ["key_id"],
  read: readApiKey,
  create: (config) => new ApiKeys(config),
};

const UNKNOWN: Unproven = { reason: "api-key-unknown", lasting: true };

/** All keys of one issuer. A change of their file makes another one of these, and ends this one with what rests on it. */
class ApiKeys implements Issuer {
  readonly config: ApiKeyIssuer;
  readonly version = 0;
  readonly patience = 0;
  readonly #bases: ReadonlyMap<string, Basis>;

  constructor(config: ApiKeyIssuer) {
    this.config = config;
    const ids = Object.keys(config.keys);
    this.#bases = new Map(
      ids.map((id) => [id, { until: Number.POSITIVE_INFINITY, identities: 0, kid: id, usedAt: 0 }]),
    );
  }

  owns({ text }: Evidence): boolean {
    return text.startsWith(this.config.prefix);
  }

  verify({ text }: Evidence, now: number): Finding {
    const { prefix, keys } = this.config;
    const id = idOf(text, prefix);
    if (id === undefined) return { reason: "credential-malformed", lasting: true };
    const [record, basis] = [keys[id], this.#bases.get(id)];
    if (record === undefined || basis === undefined || !isKey(text, record.sha256)) return UNKNOWN;
    if (now >= basis.until) return { reason: "issuer-unavailable" };
    if (record.revoked) return { reason: "credential-revoked", lasting: true };
    if (now >= record.expiresAt) return { reason: "token-expired" };
    const audiences = this.#audiencesOf(record);
    if (audiences.length === 0) return { reason: "audience-not-accepted", lasting: true };
    return { principal: this.#principal(id, record, audiences), basis };
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  status(): IssuerReport {
    const bases = [...this.#bases];
    return {
      identities: bases.reduce((sum, [, { identities }]) => sum + identities, 0),
      succeededAt: undefined,
      failedAt: undefined,
      error: undefined,
      details: { keys: bases.length },
      lastUses: Object.fromEntries(bases.map(([id, { usedAt = 0 }]) => [id, usedAt])),
    };
  }

  close(): void {
    for (const basis of this.#bases.values()) basis.until = 0;
  }

  /** A file may be shared by several agents, and a key be for some of them. */
  #audiencesOf({ audiences }: KeyRecord): readonly string[] {
    return audiences === undefined
      ? this.config.audiences
      : audiences.filter((each) => this.config.audiences.includes(each));
  }

  #principal(
    id: string,
    { subject, kind, groups, scopes, expiresAt }: KeyRecord,
    audiences: readonly string[],
  ): Principal {
    return Object.freeze({
      issuer: this.config.name,
      subject,
      kind,
      groups,
      scopes,
      audiences,
      claims: Object.freeze({ key_id: id }),
      client: undefined,
      actor: [],
      arn: undefined,
      uri: undefined,
      authenticatedAt: undefined,
      expiresAt,
      bound: "",
    });
  }
}
