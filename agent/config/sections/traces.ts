import { isLoopback } from "../../http/fetch.ts";
import type { ForwardProxy } from "../../http/proxy.ts";
import type { Environment } from "../files/substitute.ts";
import type { Section } from "../section.ts";
import { readCa, readProxy } from "./provider.ts";

/** `traces` of the configuration: where the agent tells of requests in the traces that they belong to. */
export interface TracesConfig {
  /** Of OTLP over HTTP, such as `https://collector.example.com:4318/v1/traces`. */
  readonly endpoint: string;
  /** What is sent with each batch, by names in lower case. Secret. */
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds for one batch. */
  readonly timeout: number;
  readonly ca: string | undefined;
  readonly proxy: ForwardProxy | undefined;
}

const RIGHT = "https://HOST:4318/v1/traces, or http:// in a network that is trusted";

export function readTraces(root: Section, environment: Environment): TracesConfig | undefined {
  if (!root.keys().includes("traces")) return undefined;
  const traces = root.section("traces");
  const headers = readHeaders(traces.section("headers"));
  const endpoint = traces.text("endpoint");
  checkEndpoint(traces, endpoint, Object.keys(headers).length > 0);
  return {
    endpoint,
    headers,
    timeout: traces.milliseconds("timeout"),
    ca: readCa(traces),
    proxy: readProxy(traces, environment),
  };
}

/** A fault shows no more of it than what it is not: it may hold a password. */
function checkEndpoint(traces: Section, endpoint: string, headers: boolean): void {
  const { protocol = "", hostname = "", pathname = "/", username = "", password = "" } = URL.parse(endpoint) ?? {};
  if (endpoint === "") return;
  if (!["http:", "https:"].includes(protocol) || hostname === "") {
    traces.fault(["endpoint"], RIGHT, "an address that is not http:// or https://");
  } else if (username !== "" || password !== "") {
    traces.fault(
      ["endpoint"],
      "a header `authorization` under `headers` instead",
      "an address with a user or password",
    );
  } else if (pathname === "/") {
    traces.fault(["endpoint"], RIGHT, "an address without a path");
  } else if (protocol === "http:" && !isLoopback(hostname)) {
    if (headers) traces.fault(["endpoint"], "https, where `headers` are sent", "plain http to another machine");
    else
      traces.warn(
        ["endpoint"],
        "plain http to another machine",
        "https, or a collector on this machine: paths are read by whoever is in between",
      );
  }
}

function readHeaders(headers: Section): Readonly<Record<string, string>> {
  return Object.fromEntries(headers.keys().map((name) => [name.toLowerCase(), headers.text(name)]));
}
