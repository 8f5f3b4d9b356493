import { test } from "tap";
import { FAULTS } from "../../bench/faults/faults.ts";
import { countOf, type Evidence, isRight } from "../../bench/faults/ledger.ts";
import { Stage } from "../../bench/faults/stage.ts";
import { tryFault } from "../../bench/faults/trial.ts";
import { haproxies } from "../../bench/haproxy.ts";

/** Those that no other test makes happen; "npm run faults" has all of them, for minutes. */
const SOME = [
  "agent slowed",
  "cut in mid-frame",
  "garbage",
  "keys rotated",
  "policies reloaded",
  "descriptors exhausted",
  "disk full",
  "clock stepped",
  "HAProxy reloaded",
];

test("whatever goes wrong, nobody passes without a verdict or as somebody else, and all are answered", async (t) => {
  const stages = await Promise.all(haproxies([]).map((binary) => Stage.open(binary, 1)));
  t.teardown(() => Promise.all(stages.map((stage) => stage.close())));
  await Promise.all(
    stages.map(async (stage) => {
      stage.pause = 600;
      for (const fault of FAULTS.filter(({ name }) => SOME.includes(name))) {
        const count = await tryFault(stage, fault, { seconds: 0, rate: 50 });
        const text = `${stage.haproxy.version}, ${fault.name}: ${JSON.stringify(count)}`;
        t.ok(isRight(count) && count.allowed > 0 && count.refused > 0, text);
        t.notOk("backend-unavailable" in count.reasons, `${text}: the backend was always there`);
      }
    }),
  );
});

const REQUEST = { line: "GET /v1/orders/42 HTTP/1.1", fields: [], subject: "alice" };
const SENT = { mark: "1", request: REQUEST, at: 0, status: 200, answeredAt: 5, tries: 1, reason: undefined };
const ARRIVED = { mark: "1", id: "a", method: "GET", path: "/v1/orders/42", subjects: ["alice"] };
const RIGHT: Evidence = {
  sent: [SENT],
  arrived: [ARRIVED],
  said: new Map([["a", { verdict: "allow", subject: "alice" }]]),
  log: [{ msg: "decision", request_id: "a", verdict: "allow", subject: "alice" }],
  healed: [0],
};

/** What is counted as `without a verdict, wrong identity, unanswered, no record`, of each piece of evidence. */
const COUNTED: Readonly<Record<string, readonly [changes: Partial<Evidence>, counts: string]>> = {
  "all is well": [{}, "0 0 0 0"],
  "nobody knows the request": [{ sent: [] }, "1 0 0 0"],
  "the agent said nothing": [{ said: new Map() }, "1 0 0 0"],
  "the agent refused": [{ said: new Map([["a", { verdict: "deny", subject: undefined }]]) }, "1 0 0 0"],
  "its log has another verdict": [{ log: [{ msg: "decision", request_id: "a", verdict: "deny" }] }, "1 0 0 0"],
  "the credential was bad": [{ sent: [{ ...SENT, request: { ...REQUEST, subject: undefined } }] }, "1 0 0 0"],
  "another path arrived": [{ arrived: [{ ...ARRIVED, path: "/v1/administration" }] }, "1 0 0 0"],
  "somebody else arrived": [{ arrived: [{ ...ARRIVED, subjects: ["bob"] }] }, "0 1 0 0"],
  "two arrived in one": [{ arrived: [{ ...ARRIVED, subjects: ["alice", "admin"] }] }, "0 1 0 0"],
  "nobody arrived": [{ arrived: [{ ...ARRIVED, subjects: [] }] }, "0 1 0 0"],
  "the agent meant somebody else": [{ said: new Map([["a", { verdict: "allow", subject: "bob" }]]) }, "0 1 0 0"],
  "there was no answer": [{ sent: [{ ...SENT, status: 0 }] }, "0 0 1 0"],
  "there is no record": [{ log: [] }, "0 0 0 1"],
};

test("what must not be is counted", (t) => {
  for (const [name, [changes, counts]] of Object.entries(COUNTED)) {
    const { unjudged, wrong, unanswered, unrecorded } = countOf({ ...RIGHT, ...changes });
    t.equal([unjudged, wrong, unanswered, unrecorded].join(" "), counts, name);
  }
  t.ok(isRight(countOf(RIGHT)));
  t.notOk(isRight(countOf({ ...RIGHT, healed: [1000] })), "nobody was let in again");
  t.end();
});
