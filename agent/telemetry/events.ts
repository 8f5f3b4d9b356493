import type { Decision } from "../../policies/decision.ts";
import type { Fault } from "../../policies/fault.ts";
import type { Policies } from "../../policies/policies.ts";
import type { Principal } from "../../policies/principal.ts";
import type { McpMessage } from "../../policies/request.ts";

/** One decided request. The strings are as HAProxy sent them: telemetry bounds and escapes them itself. */
export interface Observation {
  readonly requestId: string;
  /** Textual client address. */
  readonly src: string;
  /** The `traceparent` that it came with; empty where HAProxy sends none. */
  readonly trace: string;
  readonly method: string;
  readonly host: string;
  /** What stands after a `?` or `#` is never recorded. */
  readonly path: string;
  readonly principal: Principal | undefined;
  readonly decision: Decision;
  /** Name of the claim for which a token was refused, where it was one. */
  readonly claim: string | undefined;
  /** HTTP status that HAProxy answers; 200 when the request goes on. */
  readonly status: number;
  readonly revision: string;
  /** Microseconds from reading the NOTIFY to handing over its ACK. */
  readonly durationUs: number;
  /** What it has said to an MCP server, where a policy has asked for that and it could be told. */
  readonly mcp?: Pick<McpMessage, "method" | "tool"> | undefined;
  /** Whether the client came over TLS. */
  readonly tls: boolean;
  /** The request headers that policies read. */
  readonly headers: Readonly<Record<string, string>>;
  /** What the policies in force read. */
  readonly reads: Pick<Policies["uses"], "requestHeaders" | "claims">;
  /** Whether it was answered without waiting for a first verification of the token. */
  readonly cached: boolean;
}

/** Whoever is told of every decision: the log, the metrics. It neither throws nor blocks, nor keeps the observation. */
export interface DecisionSink {
  /** Called after the ACK was handed to the socket. */
  decided(observation: Observation): void;
}

/** What the SPOP server tells. None of these throws or blocks; `decided` is on the way of every request. */
export interface ServerEvents extends DecisionSink {
  connected(): void;
  disconnected(): void;
  /** @param code of a SpopError; one that is not in its list counts as `other` */
  protocolError(code: string): void;
  /** @param count NOTIFYs left unanswered because HAProxy has already given up on them */
  dropped(count: number): void;
  /** A HELLO that was only a health check (spop-check). */
  healthCheck(): void;
  /** A connection cannot be pipelined. @param advice what to set in HAProxy */
  unpipelined(advice: string): void;
  /** A bug, or a state of the machine nobody foresaw. @param where a fixed text, never made from a request */
  unexpected(where: string, error: unknown): void;
}

/** What becomes of a login by a browser. Nothing in it is secret, or the browser's to say. */
export interface LoginEvent {
  /** The issuer's name. */
  readonly issuer: string;
  /**
   * `refused`: it was no good; `failed`: nobody could tell; `ended`: a session, by its person or provider;
   * `logout-refused`: a provider's word to end some was no good; `logout-failed`: what was to end could not.
   */
  readonly outcome:
    | "begun"
    | "completed"
    | "refused"
    | "failed"
    | "refreshed"
    | "ended"
    | "logout-refused"
    | "logout-failed";
  /** Why not. */
  readonly why?: string;
}

/** What the load of a snapshot tells, at the start as after a change. */
export interface LoadReport {
  readonly revision: string;
  /** Milliseconds since the epoch. */
  readonly loadedAt: number;
  /** Milliseconds that reading and compiling took. */
  readonly durationMs: number;
  readonly services: number;
  readonly routes: number;
  /** The issuers' names: the only values their metrics' labels ever have. */
  readonly issuers: readonly string[];
  readonly warnings: readonly Fault[];
  /** Of the warnings those about policies that say nothing. */
  readonly silent: readonly Fault[];
  readonly log: LogOptions;
  /** Where it says to listen, as the configuration writes it. Takes effect at the start only. */
  readonly listen: readonly string[];
}

export interface ReloadEvents {
  reloaded(loaded: LoadReport): void;
  /** The old snapshot stays in force. */
  reloadFailed(faults: readonly Fault[]): void;
}

export interface LifecycleEvents {
  started(loaded: LoadReport): void;
  ready(): void;
  /** systemd, or what has set NOTIFY_SOCKET, does not get what it waits for. */
  untold(error: unknown): void;
  /** @param signal that does nothing */
  passedOver(signal: string): void;
  /** @param signal that asked for it */
  draining(signal: string): void;
  /** @param cause why it could not start, a line each; absent where it had */
  stopped(cause?: Error): void;
}

/** `log` of the configuration. */
export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error";
  /** `replayable`: all of them, with what policies read. */
  readonly decisions: "all" | "refused" | "replayable";
  /** Takes effect at the start only. */
  readonly destination: "stdout" | "stderr";
}
