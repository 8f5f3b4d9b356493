import { chunks } from "./chunks.ts";
import { OWN } from "./variables.ts";

/** Requests whose bodies the agent looks into. */
export interface BodyPlace {
  /** Host names; `*.` before one stands for one label or more. */
  readonly hosts: readonly string[];
  readonly methods: readonly string[];
  /** The whole path, or what it begins with. */
  readonly path: string;
  readonly whole: boolean;
  /** What a path ends in that is not given whole; empty where that may be anything. */
  readonly end: string;
}

const READS = `{ var(${OWN.reads}) -m bool }`;

/** Where a body is looked into, HAProxy waits for it, and no longer: a client that does not send it gets a 408. */
export function bodyRules(places: readonly BodyPlace[]): readonly string[] {
  if (places.length === 0) return [];
  return [
    "# Bodies that are looked into, as far as they fit into a buffer; the agent knows how long each should be.",
    ...new Set(places.flatMap(placeRules)),
    `http-request wait-for-body time 10s if ${READS}`,
    `http-request set-var(${OWN.body}) req.body if ${READS}`,
    "",
  ];
}

function placeRules({ hosts, methods, path, whole, end }: BodyPlace): readonly string[] {
  const wildcards = hosts.filter((host) => host.startsWith("*"));
  const exact = hosts.filter((host) => !host.startsWith("*"));
  const paths = [`{ path -m ${whole ? "str" : "beg"} ${path} }`, ...(end === "" ? [] : [`{ path -m end ${end} }`])];
  const rule = (test: string) =>
    `http-request set-var(${OWN.reads}) bool(true) if { method ${methods.join(" ")} } ${paths.join(" ")} { req.fhdr(host),host_only ${test} }`;
  return [
    ...chunks(exact).map((some) => rule(`-m str -i ${some}`)),
    ...chunks(wildcards.map((host) => host.slice(1))).map((some) => rule(`-m end -i ${some}`)),
  ];
}
