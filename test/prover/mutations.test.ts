import { test } from "tap";
import { haproxies } from "../support/haproxy.ts";
import { outcomesOf } from "./outcomes.ts";

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: no weakened configuration lets a request through and is called proven`, async (t) => {
    let [weak, whole] = [0, 0];
    // Of each kind one: "npm run mutants" runs as many as you like.
    for await (const { of, kind, name, through, said } of outcomesOf(t, binary, { each: 1, seed: 4 })) {
      const [first] = through;
      if (kind === "unchanged") t.strictSame([said, through], ["fine", []], of);
      if (kind === "unchanged") whole++;
      if (first === undefined) continue;
      weak++;
      t.match(said, /^(?:flagged|not proven)$/, `${of}: ${name}: ${first.by}: ${first.what}`);
    }
    t.equal(whole, 4);
    t.ok(weak > 0, `${weak} of the mutants let something through`);
  });
}
