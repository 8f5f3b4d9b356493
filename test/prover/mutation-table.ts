import type { Test } from "tap";
import { checkConfig, freePort, haproxies, minorOf } from "../support/haproxy.ts";
import { filesFor } from "../support/rendered.ts";
import { attack, startField } from "./hostile.ts";
import { mutantsOf } from "./mutants.ts";
import { prove } from "./proving.ts";

/**
 * Runs every mutant on every HAProxy and prints a table: node test/prover/mutation-table.ts [EVERY [VERSION]]
 * Exit code 1 where one got through that was neither flagged nor called not proven.
 */
const [every = "1", version = ""] = process.argv.slice(2);
const ends: (() => unknown)[] = [];
const test = (into: (() => unknown)[]) => ({ teardown: (end: () => unknown) => into.push(end) }) as unknown as Test;

const counts = new Map<string, number>();
let bad = 0;
for (const binary of haproxies()) {
  if (!binary.version.startsWith(version)) continue;
  const field = await startField(test(ends));
  const [front, other] = [await freePort(), await freePort()];
  const whole = { ...filesFor(binary, `127.0.0.1:${front}`, field.agent, field.backend.port, { deadline: 50 }) };
  const mutants = mutantsOf(whole, { other, backend: field.backend.port });
  for (const [index, { name, files }] of [{ name: "unchanged", files: whole }, ...mutants].entries()) {
    if (index > 0 && index % Number(every) !== 0) continue;
    if (checkConfig(binary, files).status !== 0) continue;
    const report = prove(files, {
      version: minorOf(binary),
      backends: ["orders"],
      identityPrefix: "x-auth-",
      identityHeaders: ["x-auth-subject"],
    });
    const has = (level: string) => report.findings.some((finding) => finding.level === level);
    const said = has("fault") ? "flagged" : has("unproven") ? "not proven" : has("warning") ? "warned" : "fine";
    const own: (() => unknown)[] = [];
    const through = await attack(test(own), binary, files, field, [front, other]).catch((error: unknown) => [
      `the run failed: ${error}`,
    ]);
    for (const end of own) await end();
    const key = `${through.length > 0 ? "got through" : "refused"}, ${said}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    if (through.length > 0 && (said === "fine" || said === "warned")) {
      bad++;
      console.log(`MISSED ${binary.version} ${name}\n    ${through.slice(0, 3).join("\n    ")}`);
    } else if (through.length > 0 && said === "not proven" && process.env.SHOW !== undefined)
      console.log(`UNPROVEN ${name}: ${report.findings.map(({ code, line, found }) => `${code} ${line} ${found}`)[0]}`);
    else if (through.length === 0 && said === "flagged" && process.env.SHOW !== undefined)
      console.log(
        `STRICT ${name}: ${report.findings.filter(({ level }) => level === "fault").map(({ code, line, found }) => `${code} ${line} ${found}`)[0]}`,
      );
  }
}
for (const end of ends) await end();
console.log(Object.fromEntries(counts));
process.exitCode = bad === 0 ? 0 : 1;
