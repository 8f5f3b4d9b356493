import { haproxies } from "../support/haproxy.ts";
import { alone, outcomesOf } from "./outcomes.ts";

/**
 * Runs every n-th mutant on every HAProxy and prints how many got through and how many were found:
 * node test/prover/mutation-table.ts [N [VERSION]]. Exit code 1 where one got through and was not found.
 */
const [every = "1", version = ""] = process.argv.slice(2);
for (const binary of haproxies().filter((one) => one.version.startsWith(version))) {
  const counts = new Map<string, number>();
  await alone(async (t) => {
    for await (const { name, through, said, findings } of outcomesOf(t, binary, Number(every))) {
      const row = `${through.length > 0 ? "got through" : "refused"}, ${said}`;
      counts.set(row, (counts.get(row) ?? 0) + 1);
      const missed = through.length > 0 && (said === "fine" || said === "warned");
      if (missed) process.exitCode = 1;
      if (missed || process.env.SHOW === row)
        console.log(
          [
            `${missed ? "MISSED" : row}: ${name}`,
            ...through.slice(0, 3),
            ...findings.slice(0, 2).map(({ found }) => found),
          ].join("\n    "),
        );
    }
  });
  console.log(binary.version, Object.fromEntries([...counts].sort()));
}
