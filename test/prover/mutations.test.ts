import { test } from "tap";
import { haproxies } from "../support/haproxy.ts";
import { outcomesOf } from "./outcomes.ts";

/** Of some 800 mutants; mutation-table.ts runs all of them. */
const EVERY = 97;

for (const binary of haproxies()) {
  test(`HAProxy ${binary.version}: no weakened configuration lets a request through and is called proven`, async (t) => {
    let [weak, whole] = [0, ""];
    for await (const { name, through, said } of outcomesOf(t, binary, EVERY)) {
      if (name === "unchanged") whole = `${said} ${through.join()}`;
      if (through.length === 0) continue;
      weak++;
      t.match(said, /^(?:flagged|not proven)$/, `${name}: ${through[0]}`);
    }
    t.equal(whole, "fine ");
    t.ok(weak > 0, `${weak} of the mutants let something through`);
  });
}
