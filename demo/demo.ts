import { parseArgs } from "node:util";
import { ask, bearer, certificateFile, type Shown } from "./ask.ts";
import { newProver } from "./dpop.ts";
import { STEPS, walk } from "./mcp/walk.ts";
import { showMesh } from "./mesh.ts";
import { PartEnded } from "./part.ts";
import { API_KEYS, awsToken, expiredToken, PARTY_NAMES, type PartyName, tamperedToken } from "./parties.ts";
import { VISITS, visitAll } from "./people.ts";
import { type Places, readPlaces } from "./places.ts";
import type { RunningProvider } from "./provider.ts";
import { type Credential, differences, ROWS } from "./rows.ts";
import { CannotStart, Closers, type Stage, setStage } from "./stage.ts";
import { tableFoot, tableHead, tableRow } from "./table.ts";
import { GREETING, invitation, USAGE } from "./words.ts";

const SHOWN_TOKENS: readonly PartyName[] = ["alice", "carol", "assistant"];
const EXIT = { fine: 0, unexpected: 1, usage: 64, unavailable: 69, interrupted: 130 } as const;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const once = readArguments(args);
  if (typeof once === "number") return once;
  const interrupt = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => interrupt.abort());
  // Nobody reads any more: `npm run demo | head`.
  process.stdout.on("error", () => interrupt.abort());
  const closers = new Closers();
  try {
    return await run(once, closers, interrupt.signal);
  } catch (error) {
    if (interrupt.signal.aborted) return EXIT.interrupted;
    if (!(error instanceof PartEnded || error instanceof CannotStart)) throw error;
    console.error(`demo: ${error.message}`);
    return EXIT.unavailable;
  } finally {
    await closers.close();
  }
}

/** Whether to end after the table, or the exit code of a run that shows none. */
function readArguments(args: readonly string[]): boolean | number {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { once: { type: "boolean" }, mesh: { type: "boolean" }, help: { type: "boolean" } },
    });
    if (values.mesh === true && values.help !== true) return showMesh() ? EXIT.fine : EXIT.unexpected;
    if (values.help !== true) return values.once === true;
    console.log(USAGE);
    return EXIT.fine;
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return EXIT.usage;
  }
}

async function run(once: boolean, closers: Closers, signal: AbortSignal): Promise<number> {
  const places = readPlaces();
  console.log(GREETING);
  const stage = await setStage(places, process.env.HAPROXY ?? "haproxy", closers, signal);
  const unexpected = await Promise.race([showTable(stage, places, signal), stage.failure]);
  if (once) return unexpected === 0 ? EXIT.fine : EXIT.unexpected;
  const tokens = await Promise.all(SHOWN_TOKENS.map(async (name) => [name, await stage.provider.token(name)] as const));
  console.log(invitation(places, Object.fromEntries(tokens)));
  await Promise.race([untilAborted(signal), stage.failure]);
  console.log("\nEnding HAProxy, the agent, the backends and the providers.");
  return EXIT.fine;
}

/** @returns how many rows were not as expected */
async function showTable(stage: Stage, places: Places, signal: AbortSignal): Promise<number> {
  const credentials = await credentialsOf(stage);
  let unexpected = 0;
  console.log(tableHead());
  for (const row of ROWS) {
    signal.throwIfAborted();
    const { backends, haproxy } = stage;
    const outcome = await ask(row, credentials[row.credential], { places, backends, log: haproxy.log });
    const wrong = differences(row, outcome);
    if (wrong.length > 0) unexpected++;
    console.log(tableRow(row, outcome, wrong));
  }
  const { notes, url, haproxy } = stage;
  const walked = [...(await walk(url, notes, haproxy.log)), ...(await visitAll(stage, places))];
  for (const [at, step] of [...STEPS, ...VISITS].entries()) {
    const outcome = walked[at];
    if (outcome === undefined) continue;
    const wrong = differences(step, outcome);
    if (wrong.length > 0) unexpected++;
    console.log(tableRow(step, outcome, wrong));
  }
  console.log(tableFoot(ROWS.length + walked.length, unexpected));
  return unexpected;
}

async function credentialsOf({ provider, partner }: Stage): Promise<Readonly<Record<Credential, Shown>>> {
  const tokens = await Promise.all(PARTY_NAMES.map(async (name) => [name, await provider.token(name)] as const));
  const fresh = Object.fromEntries(tokens) as Record<PartyName, string>;
  const [opaque, revoked] = await Promise.all([partner.token("erin"), partner.token("erin")]);
  await partner.revoke("erin", revoked);
  const bearers = {
    ...fresh,
    expired: await expiredToken(provider, Date.now()),
    tampered: tamperedToken(fresh.alice, "carol"),
    opaque,
    revoked,
    aws: awsToken("ingress.example.com", Date.now()),
    "aws-elsewhere": awsToken("ingress.example.org", Date.now()),
    key: API_KEYS.good,
    "revoked-key": API_KEYS.revoked,
  };
  const shown = Object.entries(bearers).map(([name, token]) => [name, bearer(token)]);
  return {
    ...(Object.fromEntries(shown) as Record<keyof typeof bearers, Shown>),
    none: {},
    certificate: { certificate: certificateFile("scanner.pem") },
    "certificate-elsewhere": { certificate: certificateFile("elsewhere.pem") },
    ...(await bound(provider)),
  };
}

/** A token that is bound to a key, with a proof for the request of the row, and without. */
async function bound(provider: RunningProvider): Promise<Record<"dpop" | "dpop-token", Shown>> {
  const prove = await newProver();
  const token = await provider.token("courier", await prove("POST", provider.tokenEndpoint));
  const authorization = `DPoP ${token}`;
  const dpop = await prove("GET", "http://orders.example.com/v1/orders/42", token);
  return { dpop: { headers: { authorization, dpop } }, "dpop-token": { headers: { authorization } } };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
