/** `npm run soak`: an hour of load, with all that changes in a day. docs/reliability.md says what came of it. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { COUNTERSIGN } from "../contestants/generated.ts";
import { haproxies, startHaproxy } from "../haproxy.ts";
import { commit } from "../page.ts";
import { accepts, type Running } from "../processes.ts";
import { closeStage, openStage, type Stage } from "../stage.ts";
import { judge } from "./judge.ts";
import { picture } from "./picture.ts";
import { report } from "./report.ts";
import { plus, type Sample, Sampler } from "./samples.ts";
import { ANSWERS, type Answers, Site } from "./site.ts";

const USAGE = `npm run soak -- [options]
  --seconds N      of load (3600)
  --every N        seconds between two samples (10)
  --haproxy NAME   one of those that "npm run setup" unpacked, or a path (3.2)
  --picture FILE   where the curves are written as SVG (docs/soak.svg)
  --help`;

/** Seconds between two of each. */
const DISTURBANCES = { policies: 15, badPolicies: 60, logs: 60, keys: 180, haproxy: 600 };

const tell = (line: unknown) => void process.stderr.write(`${line}\n`);

interface Soaked {
  readonly samples: readonly Sample[];
  readonly answers: Answers;
  /** How the agent ended, and what is wrong with its audit log, where that is not as it must be. */
  readonly faults: readonly string[];
}

async function soak(stage: Stage, seconds: number, every: number): Promise<Soaked> {
  const clients = fork(join(import.meta.dirname, "load.ts"));
  try {
    const url = await new Promise<string>((done) => clients.once("message", ({ url }: { url: string }) => done(url)));
    const site = await Site.make(stage, url);
    const agent = await serve(stage, site);
    let haproxy = await proxy(stage, site);
    let answers: Answers = ANSWERS;
    clients.on("message", ({ answers: more }: { answers: Answers }) => {
      answers = plus(answers, more);
    });
    clients.send({ port: site.port });
    const sampler = new Sampler(site.admin, () => ({ port: site.port, agent, haproxy }));
    const samples: Sample[] = [];
    const sample = async () => {
      // An agent that does not answer in time says so; there is another look soon.
      const taken = await sampler.take(answers).catch(tell);
      if (taken !== undefined) samples.push(taken);
      tell(JSON.stringify({ ...taken, answers }));
    };
    const end = performance.now() + seconds * 1000;
    for (let second = 1; performance.now() < end; second++) {
      await new Promise((done) => setTimeout(done, 1000));
      await disturb(site, second, async () => {
        haproxy = await proxy(stage, site, haproxy);
      });
      if (second % every === 0) await sample();
    }
    // Each of these is waited for, however slow the machine is: what the clients have counted last, a drain whose limit
    // is the agent's own, and only then its log, which nobody writes any more.
    const gone = Promise.all([once(clients, "exit"), once(clients, "disconnect")]);
    clients.send({ end: true });
    await gone;
    agent.kill("SIGTERM");
    const code = await agent.ended();
    const faults = [code === 0 ? [] : `the agent ended with ${code}`, (await site.auditFault()) ?? []].flat();
    return { samples, answers, faults };
  } finally {
    clients.kill();
  }
}

/** What is due in this second. A set with a fault gives way to a good one with the next. */
async function disturb(site: Site, second: number, reloadHaproxy: () => Promise<void>): Promise<void> {
  const due = (name: keyof typeof DISTURBANCES) => second % DISTURBANCES[name] === 0;
  if (due("badPolicies")) site.badPolicies();
  else if (due("policies")) site.policies(second);
  if (due("logs")) site.rotateLogs();
  if (due("keys")) await site.rotateKeys();
  if (due("haproxy")) await reloadHaproxy();
}

async function serve(stage: Stage, site: Site): Promise<Running> {
  const stdio = ["ignore", site.openLog(), "pipe"] as const;
  const agent = stage.processes.start(process.execPath, [COUNTERSIGN, "serve", "--config", site.file], {
    stdio: [...stdio],
  });
  const at = { host: "127.0.0.1", port: site.admin };
  await agent.until(async () => (await accepts(at)) && (await fetch(`http://127.0.0.1:${site.admin}/ready`)).ok);
  return agent;
}

/** Starts HAProxy; in place of one that runs, as its reload does. */
function proxy(stage: Stage, site: Site, before?: Running): Promise<Running> {
  const files = ["threads.cfg", "haproxy.cfg"].map((name) => join(site.folder, name));
  const more = before === undefined ? [] : ["-sf", String(before.pid)];
  return startHaproxy(stage.processes, stage.haproxy, files, site.port, more);
}

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string", default: "3600" },
      every: { type: "string", default: "10" },
      haproxy: { type: "string", default: "3.2" },
      picture: { type: "string", default: "docs/soak.svg" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const [haproxy] = haproxies([values.haproxy]);
  if (haproxy === undefined) throw new Error(`--haproxy ${values.haproxy}: none such`);
  const none = { criteo: undefined, oauth2Proxy: undefined, lua: undefined, beside: undefined };
  const stage = await openStage(haproxy, 1, none);
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      closeStage(stage);
      process.exit(130);
    });
  }
  try {
    const { samples, answers, faults: atTheEnd } = await soak(stage, Number(values.seconds), Number(values.every));
    const { thirds, faults: found, unjudged } = judge(samples, answers);
    const faults = [...found, ...atTheEnd];
    writeFileSync(resolve(values.picture), picture(samples));
    process.stdout.write(
      report({ haproxy: haproxy.version, commit: commit(), samples, answers, thirds, faults, unjudged }),
    );
    return faults.length === 0 ? 0 : 1;
  } finally {
    closeStage(stage);
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  tell(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
