import type { RenderInput } from "../../haproxy/input.ts";
import { type HaproxyFiles, renderHaproxy } from "../../haproxy/render.ts";
import { type HaproxyBinary, minorOf } from "./haproxy.ts";

/** What a HAProxy with one backend, `orders`, and one identity header, `x-auth-subject`, is rendered from. */
export const INPUT: RenderInput = {
  version: "2.6",
  identityPrefix: "x-auth-",
  bind: ["127.0.0.1:8080"],
  scheme: "http",
  client: { from: "connection", trusted: [] },
  spopAddresses: ["127.0.0.1:9000"],
  deadline: 400,
  backends: [{ name: "orders", servers: ["127.0.0.1:8081"] }],
  uses: {
    query: false,
    requestHeaders: [],
    identityHeaders: [{ name: "x-auth-subject", max: 256 }],
    credentials: ["bearer"],
  },
  largestAck: 1400,
};

/** One that meshed clients come to, too. */
export const MESHED: Partial<RenderInput> = {
  uses: { ...INPUT.uses, credentials: ["bearer", "mesh"] },
  mesh: { address: "*:8082" },
};

/** Rules for pages of other origins, of every sort. */
export const CORS: NonNullable<RenderInput["cors"]> = [
  {
    hosts: ["*.example.com", "orders.example.com", "[::1]"],
    cors: {
      origins: ["https://app.example.com", "http://localhost:3000"],
      methods: ["GET", "POST"],
      headers: ["authorization"],
      expose: ["www-authenticate"],
      credentials: true,
      maxAge: 600,
    },
  },
  {
    hosts: ["*.apps.example.com"],
    cors: {
      origins: "any",
      methods: ["GET"],
      headers: ["authorization"],
      expose: ["x-total"],
      credentials: false,
      maxAge: 0,
    },
  },
  { hosts: ["plain.apps.example.com"], cors: undefined },
];

/** Places of every sort where bodies are looked into. */
export const BODIES: NonNullable<RenderInput["uses"]["bodies"]> = [
  {
    hosts: ["orders.example.com", "*.tools.example.com", "[::1]"],
    methods: ["POST", "GET"],
    path: "/mcp",
    whole: true,
    end: "",
  },
  {
    hosts: Array.from({ length: 100 }, (_, i) => `host-${i}.example.com`),
    methods: ["POST"],
    path: "/t/",
    whole: false,
    end: "/mcp",
  },
];

/** The same for one binary and these ports of 127.0.0.1, with the changes that a test is about. */
export function inputFor(
  binary: HaproxyBinary,
  bind: string,
  agent: number,
  backend: number,
  changes: Partial<RenderInput> = {},
): RenderInput {
  return {
    ...INPUT,
    version: minorOf(binary),
    bind: [bind],
    spopAddresses: [`127.0.0.1:${agent}`],
    backends: [{ name: "orders", servers: [`127.0.0.1:${backend}`] }],
    ...changes,
  };
}

/** The generated files for one binary and these ports. */
export function filesFor(...input: Parameters<typeof inputFor>): HaproxyFiles {
  return renderHaproxy(inputFor(...input));
}
