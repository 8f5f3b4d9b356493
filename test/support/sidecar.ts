import { networkInterfaces } from "node:os";
import type { Test } from "tap";
import { type Front, startFront } from "../../demo/front.ts";
import { type HttpAnswer, RawClient } from "./http.ts";

/** What the environment of a proxy must have that is believed, as `/env.json` tells it: null for what is not set. */
export const FIT: Readonly<Record<string, string | null>> = {
  LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: "deny",
  LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION: "25,587,3306,4444,5432,6379,9300,11211",
  LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_IDENTITY: null,
  LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_TLS: null,
  LINKERD2_PROXY_INGRESS_MODE: null,
  LINKERD2_PROXY_INBOUND_GATEWAY_SUFFIXES: null,
};

const ADDRESSES = Object.values(networkInterfaces()).flatMap((all) => all ?? []);

/** An address of this machine that is not loopback's, as a pod has one; undefined where there is no network at all. */
const OUTER = ADDRESSES.find(({ internal, family }) => !internal && family === "IPv4")?.address;

/** What stands for the pod's own address. */
export const POD = OUTER ?? "127.0.0.3";

export const HAS_IPV6 = ADDRESSES.some(({ address }) => address === "::1");

/** The rules for a machine without any network: there one address of loopback has to be the pod's. */
export function withPod(config: string): string {
  return OUTER === undefined ? config.replace("!{ src 127.0.0.0/8 ", "!{ src 127.0.0.1 127.0.0.2 ") : config;
}

/** How the path ends that it is asked for. */
export const LAST_ASKED = "GATEWAY_SUFFIXES";

/**
 * What stands for the Linkerd proxy in HAProxy's pod. It does what linkerd2-proxy 29637b64f does by its source, and was
 * measured to do: `/env.json?A&B` tells these variables; of an HTTP request it writes `l5d-client-id` anew by the
 * client's TLS, or takes it away, whatever the client sent; what it takes for opaque it hands over as it came; and it
 * connects to the pod's own address from the pod's own address.
 */
export interface Sidecar {
  readonly front: Front;
  /** A request of somebody whose certificate has this name; undefined for nobody of the mesh. */
  ask(identity: string | undefined, port: number, line: string, fields: readonly string[]): Promise<HttpAnswer>;
}

/** Its admin server. */
export function startSidecarAdmin(): Promise<Front> {
  return startFront((request, response) => {
    const names = (request.url ?? "").split("?")[1]?.split("&") ?? Object.keys(FIT);
    const told = Object.fromEntries(names.map((name) => [name, FIT[name] ?? null]));
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(told));
  });
}

export async function startSidecar(t: Test): Promise<Sidecar> {
  const front = await startSidecarAdmin();
  t.teardown(() => front.close());
  return {
    front,
    async ask(identity, port, line, fields) {
      const client = await RawClient.open(port, undefined, POD, POD);
      try {
        const others = fields.filter((field) => !/^l5d-client-id:/i.test(field)).map(lowerName);
        return await client.request(line, identity === undefined ? others : [...others, `l5d-client-id: ${identity}`]);
      } finally {
        client.close();
      }
    },
  };
}

function lowerName(field: string): string {
  const colon = field.indexOf(":");
  return field.slice(0, colon).toLowerCase() + field.slice(colon);
}
