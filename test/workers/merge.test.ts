import { test } from "tap";
import type { ResponderState } from "../../agent/admin/status.ts";
import { mergedState } from "../../agent/processes/workers/merge.ts";
import { NOON } from "../support/telemetry.ts";

const ISSUER = { name: "okta", issuer: "https://okta.test", failedAt: undefined, error: undefined };
const UNUSED = [{ kid: "k", why: "it is not a key" }];
const STATE: ResponderState = {
  issuers: [{ ...ISSUER, details: { keys: 2, unused_keys: [] }, identities: 50, succeededAt: NOON }],
  caches: { identities: { entries: 50, limit: 100 } },
  ...{ connections: 3, opened: 5, inFlight: 2, requests: 7 },
  pipeliningAdvice: undefined,
  log: { dropped: 4, failure: undefined },
  audit: [{ origin: "a/0", records: 7, signed: 5, lost: 0, error: undefined }],
};

test("of several workers what can be added up is, and of the rest the worst is shown", (t) => {
  const failing = {
    ...ISSUER,
    details: { keys: 0, unused_keys: UNUSED },
    identities: 1,
    succeededAt: undefined,
    failedAt: NOON + 1,
    error: "timed out",
  };
  const other = { ...STATE, issuers: [failing], pipeliningAdvice: "set tune.bufsize" };
  for (const both of [
    [STATE, other],
    [other, STATE],
  ]) {
    t.strictSame(mergedState(both, { dropped: 1, failure: "EPIPE" }), {
      issuers: [{ ...failing, identities: 51 }],
      caches: { identities: { entries: 100, limit: 200 } },
      ...{ connections: 6, opened: 10, inFlight: 4, requests: 14 },
      pipeliningAdvice: "set tune.bufsize",
      log: { dropped: 9, failure: "EPIPE" },
      audit: [STATE.audit, STATE.audit].flat(),
    });
  }
  const older = {
    ...STATE,
    issuers: [
      { ...ISSUER, details: { keys: 1, unused_keys: [] }, identities: 0, succeededAt: NOON - 1, failedAt: NOON - 2 },
    ],
  };
  const [merged] = mergedState([STATE, older], STATE.log).issuers;
  t.match(merged, { details: { keys: 1 }, succeededAt: NOON - 1, failedAt: NOON - 2, error: undefined });
  t.end();
});
