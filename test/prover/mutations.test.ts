import { test } from "tap";
import { haproxies } from "../support/haproxy.ts";
import { alone, type Outcome, outcomesOf } from "./outcomes.ts";

/** A few of those that mostly let something through; "npm run mutants" runs as many of all kinds as you like. */
const SELECTION = { each: 1, seed: 6, kinds: ["rule added", "entrance added"] } as const;

test("no weakened configuration lets a request through and is called proven", async (t) => {
  const runs = haproxies().map((binary) => alone((own) => all(outcomesOf(own, binary, SELECTION))));
  for (const [index, outcomes] of (await Promise.all(runs)).entries()) {
    const version = haproxies()[index]?.version ?? "";
    const whole = outcomes.filter(({ kind }) => kind === "unchanged");
    t.strictSame(
      whole.map(({ of, said, through }) => [of, said, through.length]),
      ["generated", "shop", "gateway", "office"].map((of) => [of, "fine", 0]),
      version,
    );
    const weak = outcomes.filter(({ through }) => through.length > 0);
    t.ok(weak.length > 0, `${version}: ${weak.length} of the mutants let something through`);
    for (const { of, name, through, said } of weak)
      t.match(said, /^(?:flagged|not proven)$/, `${version}: ${of}: ${name}: ${through[0]?.what}`);
  }
});

async function all(some: AsyncGenerator<Outcome>): Promise<readonly Outcome[]> {
  const list: Outcome[] = [];
  for await (const one of some) list.push(one);
  return list;
}
