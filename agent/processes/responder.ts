import { isDeepStrictEqual } from "node:util";
import type { ResponderState } from "../admin/status.ts";
import { meshIdentities } from "../answer/mesh-identities.ts";
import type { Snapshot } from "../answer/snapshot.ts";
import { Assertions } from "../assertion/assertions.ts";
import { Signing } from "../assertion/signing.ts";
import type { AuditConfig } from "../config/sections/audit.ts";
import { send } from "../http/fetch.ts";
import { createIdentity, type IssuerStatus } from "../identity/identity.ts";
import { timer } from "../identity/issuer/timer.ts";
import type { Due } from "../identity/issuer/world.ts";
import type { Loaded } from "../loading/load.ts";
import type { Address } from "../net/address.ts";
import { ERROR_CODES } from "../server/error-codes.ts";
import { SpopServer } from "../server/spop-server.ts";
import { createTelemetry, type Telemetry } from "../telemetry/telemetry.ts";
import { UpstreamTokens } from "../upstream/upstream-tokens.ts";
import { VERSION } from "./version.ts";

function usesOf({ name: issuer, lastUses = {} }: IssuerStatus) {
  return Object.entries(lastUses).map(([key, at]) => ({ issuer, key, at }));
}

/** Lets go of whatever only this snapshot asks its providers for. */
export function closeSnapshot({ identity, upstreamTokens }: Snapshot): void {
  identity.close();
  upstreamTokens?.close();
}

/** What answers HAProxy: the snapshot in force, the connections, and what tells of both. One a process. */
export class Responder {
  readonly telemetry: Telemetry;
  readonly #clock: () => number;
  readonly #due: (due: Due) => void;
  /** As it was at the start; another one takes a restart. */
  readonly #audited: AuditConfig | undefined;
  readonly #process: number;
  readonly #server: SpopServer;
  /** Its thread starts with the first snapshot that has assertions. */
  readonly #signing = new Signing();
  #snapshot: Snapshot;

  /** @param due told of sessions that their providers are to be asked about @param worker its number, where there are several; their log goes to standard output, which the primary reads */
  constructor(loaded: Loaded, clock: () => number, due: (due: Due) => void, worker?: number) {
    this.#clock = clock;
    this.#due = due;
    this.telemetry = createTelemetry({
      version: VERSION,
      log: loaded.config.log,
      errorCodes: ERROR_CODES,
      gauges: {
        connections: () => this.#server.connections,
        certificateUntil: () => this.#server.certificateUntil,
        inFlight: () => this.#server.inFlight,
        audit: () => this.telemetry.auditState(),
        cached: () => this.#snapshot.identity.caches().identities.entries,
        remembered: () => this.#snapshot.identity.caches().proofs?.entries ?? 0,
        lastUses: () => this.#snapshot.identity.status().flatMap(usesOf),
      },
      clock,
      process: true,
      ...(worker === undefined ? {} : { worker, fd: 1 }),
    });
    this.#audited = loaded.config.audit;
    this.#process = worker ?? 0;
    this.#snapshot = this.#build(loaded, undefined);
    this.telemetry.traceTo(loaded.config.traces);
    this.#server = new SpopServer({ snapshot: this.#snapshot, events: this.telemetry, clock, worker });
  }

  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  /** @throws Error that names every address which cannot be bound, or why the audit log cannot be written */
  async listen(addresses: readonly Address[]): Promise<void> {
    // Not before: one that is started twice by mistake does not touch the log of the first.
    await this.#server.listen(addresses, () => {
      if (this.#audited !== undefined) this.telemetry.openAudit(this.#audited, this.#process, this.#snapshot.inForce);
    });
  }

  /** Settles once every issuer was asked for its keys, well or not. */
  async ready(): Promise<void> {
    await Promise.all([this.#snapshot.identity.ready(), this.#canSign(this.#snapshot)]);
  }

  /**
   * The next snapshot, built beside the one in force, which judges on until the new one's issuers were asked: no
   * request has to wait for them.
   */
  async prepare(loaded: Loaded): Promise<Snapshot> {
    if (!isDeepStrictEqual(loaded.config.audit, this.#audited)) this.telemetry.auditStays();
    const next = this.#build(loaded, this.#snapshot);
    try {
      await Promise.all([next.identity.ready(), this.#canSign(next)]);
      return next;
    } catch (error) {
      closeSnapshot(next);
      throw error;
    }
  }

  async #canSign({ assertions }: Snapshot): Promise<void> {
    if (assertions !== undefined) await this.#signing.start();
  }

  /** Judges by the snapshot from the next frame on. */
  swap(next: Snapshot): void {
    const previous = this.#snapshot;
    this.#snapshot = next;
    this.#server.update(next);
    this.telemetry.inForce(next.inForce);
    this.telemetry.traceTo(next.config.traces);
    closeSnapshot(previous);
  }

  /** What it is doing, as plain data. */
  state(): ResponderState {
    const { identity, upstreamTokens } = this.#snapshot;
    const use = upstreamTokens?.use;
    return {
      issuers: identity.status(),
      caches: { ...identity.caches(), ...(use && { upstream_tokens: use }) },
      connections: this.#server.connections,
      opened: this.#server.opened,
      inFlight: this.#server.inFlight,
      requests: this.#server.requests,
      pipeliningAdvice: this.#server.pipeliningAdvice(),
      log: this.telemetry.logState(),
      audit: [this.telemetry.auditState() ?? []].flat(),
    };
  }

  /** Answers on while HAProxy leaves, then ends all connections. @param limit milliseconds */
  drain(limit: number): Promise<void> {
    return this.#server.drain(limit);
  }

  /** Ends everything now; what was answered is still sent. The telemetry is left open. */
  async close(): Promise<void> {
    await this.#server.close();
    closeSnapshot(this.#snapshot);
  }

  /** Tells of a bug before the process ends by it. From now on nothing is answered: nobody knows by what. */
  async crashed(error: unknown): Promise<void> {
    this.telemetry.unexpected("the process", error);
    await Promise.all([this.#server.close(), this.telemetry.close()]);
  }

  #build({ config, policies, checked, configuration }: Loaded, previous: Snapshot | undefined): Snapshot {
    const { cache, limits, issuers, revoked, deadline, dpop } = config;
    const world = { send, clock: this.#clock, events: this.telemetry, due: this.#due };
    const identity = createIdentity(issuers, {
      ...world,
      cache,
      limits,
      revoked,
      dpop,
      deadline,
      previous: previous?.identity,
    });
    return {
      config,
      policies,
      identity,
      meshIdentities: meshIdentities(config, policies.services),
      inForce: {
        revision: policies.revision,
        configuration,
        files: Object.fromEntries(checked.files.map(({ file, sha256 }) => [file, sha256])),
      },
      unrecorded: this.#audited?.onFull === "deny" ? () => this.telemetry.auditIsFull : undefined,
      upstreamTokens: new UpstreamTokens(issuers, { ...world, schedule: timer }, previous?.upstreamTokens),
      assertions: config.assertion && new Assertions(config.assertion, this.#signing),
      revision: policies.revision,
    };
  }
}
