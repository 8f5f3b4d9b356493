import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import type { LoadReport, LogOptions, Observation } from "../../agent/telemetry/events.ts";
import { createTelemetry, type Telemetry } from "../../agent/telemetry/telemetry.ts";
import type { Decision } from "../../policies/decision.ts";
import type { Principal } from "../../policies/principal.ts";

/** An instant for tests, in milliseconds since the epoch. */
export const NOON = Date.UTC(2026, 10, 23, 12);

export type Line = Record<string, unknown>;

/** A telemetry whose log goes to a temporary file. */
export function recorded(
  t: Test,
  {
    now = { at: NOON },
    process = false,
    ...log
  }: Partial<LogOptions> & { now?: { at: number }; process?: boolean } = {},
): { telemetry: Telemetry; text: () => Promise<string>; lines: () => Promise<Line[]> } {
  const directory = mkdtempSync(join(tmpdir(), "countersign-log-"));
  const file = join(directory, "log");
  const telemetry = createTelemetry({
    version: "1.2.3",
    log: { level: "info", decisions: "all", destination: "stdout", ...log },
    errorCodes: ["frame-too-large", "invalid-frame"],
    gauges: {
      connections: () => 3,
      certificateUntil: () => 0,
      inFlight: () => 2,
      audit: () => undefined,
      cached: () => 50,
      remembered: () => 7,
      lastUses: () => [{ issuer: "keys", key: "k", at: 0 }],
    },
    clock: () => now.at,
    process,
    fd: openSync(file, "w"),
  });
  t.teardown(async () => {
    await telemetry.close();
    rmSync(directory, { recursive: true });
  });
  const text = async () => {
    await telemetry.close();
    return readFileSync(file, "utf8");
  };
  const lines = async () =>
    (await text())
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line);
  return { telemetry, text, lines };
}

/** A telemetry with all metrics there are, those of the process too: one a process. */
export function withEveryMetric(t: Test): Telemetry {
  const telemetry = createTelemetry({
    version: "1.2.3",
    log: { level: "error", decisions: "refused", destination: "stderr" },
    errorCodes: ["frame-too-large"],
    gauges: {
      connections: () => 0,
      certificateUntil: () => 0,
      inFlight: () => 0,
      audit: () => undefined,
      cached: () => 0,
      remembered: () => 0,
      lastUses: () => [],
    },
    clock: () => NOON,
    process: true,
  });
  t.teardown(() => telemetry.close());
  return telemetry;
}

export function observation(changes: Partial<Observation> = {}): Observation {
  return {
    requestId: "0123456789abcdef0123456789abcdef",
    src: "192.0.2.7",
    trace: "",
    method: "GET",
    host: "orders.example.com",
    path: "/v1/orders/42",
    principal: principal(),
    decision: decision(),
    claim: undefined,
    status: 200,
    revision: "3f9a1c2d4e5f",
    durationUs: 13.4,
    cached: true,
    tls: true,
    headers: {},
    reads: { requestHeaders: [], claims: [] },
    ...changes,
  };
}

export function decision(changes: Partial<Decision> = {}): Decision {
  return {
    verdict: "allow",
    reason: "allowed",
    rule: "orders/read",
    roles: ["orders-reader"],
    scopes: [],
    headers: [{ name: "x-auth-subject", value: "header-value" }],
    shadow: undefined,
    ...changes,
  };
}

export function principal(changes: Partial<Principal> = {}): Principal {
  return {
    issuer: "okta",
    subject: "oncall@example.com",
    kind: "person",
    groups: ["group-value"],
    scopes: ["orders:read"],
    audiences: ["api://orders"],
    claims: { sub: "oncall@example.com", email: "claim-value" },
    client: "orders-spa",
    actor: [],
    arn: undefined,
    uri: undefined,
    authenticatedAt: undefined,
    expiresAt: NOON + 600_000,
    bound: "",
    ...changes,
  };
}

export function loaded(changes: Partial<LoadReport> = {}): LoadReport {
  return {
    revision: "3f9a1c2d4e5f",
    loadedAt: NOON,
    durationMs: 12.5,
    services: 2,
    routes: 7,
    issuers: ["okta"],
    warnings: [],
    silent: [],
    log: { level: "info", decisions: "all", destination: "stdout" },
    listen: ["127.0.0.1:9000"],
    ...changes,
  };
}
