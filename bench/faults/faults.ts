import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import type { IncomingMessage, RequestListener } from "node:http";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { reply } from "../../demo/front.ts";
import type { Manner } from "./relay.ts";
import type { Stage } from "./stage.ts";
import { POLICY } from "./traffic.ts";

/** Something that goes wrong, again and again. */
export interface Fault {
  readonly name: string;
  /** What is done, for the table. */
  readonly what: string;
  /** Makes it go wrong once, and mends it: the stage is healed, or on its way to be. */
  once(stage: Stage): Promise<void>;
  /** Before the load begins, and after it has ended. */
  readonly before?: (stage: Stage) => Promise<void>;
  readonly after?: (stage: Stage) => Promise<void>;
}

const HOUR = 3_600_000;

const nothing: Fault["once"] = async (stage) => {
  stage.heal();
  await sleep(stage.pause);
};

function agentEnds(signal: "SIGTERM" | "SIGKILL"): Fault["once"] {
  return async (stage) => {
    await stage.stopAgent(signal);
    await sleep(stage.pause / 2);
    await stage.startAgent();
    stage.heal();
  };
}

function line(manner: Manner): Fault["once"] {
  return async (stage) => {
    stage.relay.manner = manner;
    await sleep(stage.pause);
    stage.relay.manner = { does: "pass" };
    stage.heal();
  };
}

/** The provider behaves like that while its keys are others than before: all that it signed until then is unknown. */
function provider(behaviour: "reset" | "silent" | "error" | RequestListener): Fault["once"] {
  return async (stage) => {
    stage.provider.front.behave(behaviour);
    await stage.provider.rotate({ keep: false });
    await stage.traffic.renew();
    await sleep(stage.pause);
    stage.provider.front.behave("up");
    stage.heal();
  };
}

const switching = ({ socket }: IncomingMessage) =>
  void socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");

let lies = 0;
const LIES: readonly RequestListener[] = [
  reply({ keys: "none" }),
  reply({ keys: [] }),
  reply("<html>"),
  reply({ keys: Array.from({ length: 5000 }, (_, i) => ({ kid: String(i), kty: "RSA", n: "AQAB", e: "AQAB" })) }),
  reply({ issuer: "https://evil.example", jwks_uri: "https://evil.example/keys" }),
  (_request, response) => void response.writeHead(200, { "content-length": 100 }).end("{"),
];
const lying: RequestListener = (request, response) => LIES[lies++ % LIES.length]?.(request, response);

/** Sets a limit of the running agent; undefined is no limit. */
function limit(stage: Stage, resource: "nofile" | "fsize", value: number | undefined): void {
  const { status, stderr } = spawnSync("prlimit", [
    ...["--pid", String(stage.agent.pid)],
    `--${resource}=${value ?? (resource === "fsize" ? "unlimited" : 1024)}:`,
  ]);
  if (status !== 0) throw new Error(`prlimit: ${stderr}`);
}

function descriptors(stage: Stage): number {
  return readdirSync(`/proc/${stage.agent.pid}/fd`).length;
}

/** Opens connections that say what they say, and nothing more. */
function crowd(port: number, size: number, text: string | Buffer): readonly Socket[] {
  return Array.from({ length: size }, () => {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    socket.resume().write(text);
    return socket;
  });
}

let changes = 0;

export const FAULTS: readonly Fault[] = [
  { name: "nothing", what: "the load alone", once: nothing },
  { name: "agent killed", what: "SIGKILL, and started again", once: agentEnds("SIGKILL") },
  { name: "agent restarted", what: "SIGTERM, and started again when it has ended", once: agentEnds("SIGTERM") },
  {
    name: "agent frozen",
    what: "SIGSTOP, and SIGCONT",
    async once(stage) {
      stage.agent.kill("SIGSTOP");
      await sleep(stage.pause);
      stage.agent.kill("SIGCONT");
      stage.heal();
    },
  },
  {
    name: "agent slowed",
    what: "all that it is told and says comes 0.7 s late",
    once: line({ does: "delay", by: 700 }),
  },
  {
    name: "cut in mid-frame",
    what: "every seventh piece is cut in the middle, both ways, and the connection with it",
    once: line({ does: "cut" }),
  },
  {
    name: "garbage",
    what: "nonsense before every seventh piece, both ways, and 20 connections that bring the agent nothing else",
    async once(stage) {
      const sockets = crowd(stage.ports.agent, 20, randomBytes(4096));
      await line({ does: "garble" })(stage);
      for (const socket of sockets) socket.destroy();
    },
  },
  { name: "provider down", what: "new keys, and every connection reset", once: provider("reset") },
  { name: "provider slow", what: "new keys, and no answer", once: provider("silent") },
  { name: "provider lying", what: "new keys, and one of six answers that are none", once: provider(lying) },
  { name: "provider answers 101", what: "new keys, and Switching Protocols", once: provider(switching) },
  {
    name: "keys rotated",
    what: "new keys, with the former ones beside them and without by turns",
    async once(stage) {
      await stage.provider.rotate({ keep: ++changes % 2 === 0 });
      await stage.traffic.renew();
      stage.heal();
      await sleep(stage.pause);
    },
  },
  {
    name: "policies reloaded",
    what: "ten changes a second, every other one with a fault",
    async once(stage) {
      for (let i = 0; i < 10; i++) {
        const text = POLICY(`read-${++changes}`);
        const broken = text.replace("allow: [administrator]", "alow: [anyone]");
        stage.write("policies/orders.yaml", i % 2 === 0 ? text : broken);
        await sleep(100);
      }
      stage.write("policies/orders.yaml", POLICY("read"));
      stage.heal();
    },
  },
  {
    name: "descriptors exhausted",
    what: "the agent may open three more files, and 20 connections take them",
    async once(stage) {
      limit(stage, "nofile", descriptors(stage) + 3);
      const sockets = crowd(stage.ports.agent, 20, "");
      // New connections from HAProxy, too.
      stage.relay.hangUp();
      await sleep(stage.pause);
      for (const socket of sockets) socket.destroy();
      limit(stage, "nofile", undefined);
      stage.heal();
    },
  },
  {
    name: "disk full",
    what: "the agent's log may grow no more (RLIMIT_FSIZE)",
    async once(stage) {
      limit(stage, "fsize", stage.logged());
      await sleep(stage.pause);
      limit(stage, "fsize", undefined);
      stage.heal();
    },
  },
  {
    name: "clock stepped",
    what: "the agent's clock an hour ahead, right, an hour behind, right",
    async once(stage) {
      for (const offset of [HOUR, -HOUR]) {
        stage.write("clock", String(offset));
        await sleep(stage.pause);
        stage.write("clock", "0");
        stage.heal();
        await sleep(stage.pause / 2);
      }
    },
  },
  {
    name: "memory limited",
    what: "the agent with 40 MB of heap, and half of all requests from somebody new",
    async before(stage) {
      await stage.stopAgent("SIGTERM");
      await stage.startAgent(["--max-old-space-size=40"]);
      stage.traffic.fresh = 50;
    },
    once: nothing,
    async after(stage) {
      stage.traffic.fresh = 5;
      await stage.stopAgent("SIGTERM");
      await stage.startAgent();
    },
  },
  {
    name: "HAProxy reloaded",
    what: "a new process takes the listeners over (-x, -sf)",
    async once(stage) {
      await stage.reloadHaproxy();
      stage.heal();
      await sleep(stage.pause);
    },
  },
  {
    name: "admin listener flooded",
    what: "eight connections with 300 requests for /metrics each, and 100 with half of one",
    async once(stage) {
      const page = "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".repeat(300);
      const halves = crowd(stage.ports.admin, 100, "GET /status HTTP/1.1\r\n");
      const sockets = crowd(stage.ports.admin, 8, page);
      await sleep(stage.pause);
      for (const socket of [...sockets, ...halves]) socket.destroy();
      stage.heal();
    },
  },
];
