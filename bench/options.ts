import { resolve } from "node:path";
import { parseArgs } from "node:util";
import type { Given } from "./stage.ts";

export const SECTIONS = [
  "warm",
  "many",
  "cold",
  "policies",
  "identities",
  "latency",
  "events",
  "workers",
  "footprint",
  "versions",
] as const;
export type Section = (typeof SECTIONS)[number];

export const USAGE = `npm run bench -- [options]
  --haproxy PATH|VERSION   a binary, or one of those that "npm run setup" unpacked, such as 3.2; repeatable; default: all
  --cores 1|2              threads of HAProxy and of the Go agents (1)
  --section NAME           one of ${SECTIONS.join(", ")}; repeatable; default: all
  --connections N          of the warm section; repeatable (1, 64, 512)
  --criteo PATH            a built github.com/criteo/haproxy-spoe-auth, to be measured too
  --oauth2-proxy PATH      a built oauth2-proxy, with --lua DIR: auth-request.lua, haproxy-lua-http.lua and json.lua
  --beside PATH            dist/agent/main.js of another version of Countersign, for the section versions
  --rounds N               interleaved rounds; the table has their medians (5)
  --seconds N              of load in each measurement (3)
  --quick                  a look at whether it works: 1 round of 1 second without warming up, section warm, 1 connection
  --json                   the measurements as JSON
  --markdown               writes the tables into docs/measurements.md, in place of all that are there for as many cores
  --help`;

export interface BenchOptions {
  readonly haproxy: readonly string[];
  readonly cores: 1 | 2;
  readonly sections: readonly Section[];
  readonly connections: readonly number[];
  readonly given: Given;
  readonly rounds: number;
  readonly seconds: number;
  /** Seconds of load before the first measurement of each row. */
  readonly warmUp: number;
  /** Share of the answers that may be wrong; a quick look is for machines that are busy, too. */
  readonly mostWrong: number;
  readonly json: boolean;
  readonly markdown: boolean;
  readonly help: boolean;
}

/** Seconds. */
const WARM_UP = 6;

/** @throws Error that says which option is wrong */
export function optionsOf(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      haproxy: { type: "string", multiple: true, default: [] },
      cores: { type: "string", default: "1" },
      section: { type: "string", multiple: true },
      connections: { type: "string", multiple: true },
      criteo: { type: "string" },
      "oauth2-proxy": { type: "string" },
      lua: { type: "string" },
      beside: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      markdown: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const { quick, haproxy, json, markdown, help } = values;
  const sections =
    values.section ??
    (quick ? ["warm"] : SECTIONS.filter((name) => name !== "versions" || values.beside !== undefined));
  const seconds = wholeNumber("seconds", values.seconds ?? (quick ? "1" : "3"), 60);
  const connections = values.connections ?? (quick ? ["1"] : ["1", "64", "512"]);
  return {
    ...{ haproxy, json, markdown, help },
    given: {
      criteo: absolute(values.criteo),
      oauth2Proxy: absolute(values["oauth2-proxy"]),
      lua: absolute(values.lua),
      beside: absolute(values.beside),
    },
    cores: wholeNumber("cores", values.cores, 2) === 2 ? 2 : 1,
    sections: sections.map(sectionOf),
    connections: connections.map((n) => wholeNumber("connections", n, 4096)),
    rounds: wholeNumber("rounds", values.rounds ?? (quick ? "1" : "5"), 100),
    seconds,
    mostWrong: quick ? 0.99 : 0.01,
    warmUp: quick ? 0 : Math.min(WARM_UP, 2 * seconds),
  };
}

/** HAProxy and the agents run in folders of their own. */
function absolute(path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(path);
}

function sectionOf(text: string): Section {
  const section = SECTIONS.find((name) => name === text);
  if (section === undefined) throw new Error(`--section ${text}: one of ${SECTIONS.join(", ")}`);
  return section;
}

function wholeNumber(name: string, text: string, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > most) throw new Error(`--${name} ${text}: 1 to ${most}`);
  return value;
}
