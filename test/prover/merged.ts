import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { CheckInput } from "../../haproxy/check/check.ts";
import type { RenderInput } from "../../haproxy/input.ts";
import { contractOf, renderFragment } from "../../haproxy/render.ts";
import { SPOE_FILE, spoeFile } from "../../haproxy/spoe-file.ts";
import { AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";
import { INPUT } from "../support/rendered.ts";

/** HAProxy's files by their names, those that end in `.cfg` in the order of its `-f`. */
export type Files = Readonly<Record<string, string>>;

/** Where requests come in. */
export interface Entrance {
  readonly port: number;
  /** The `Host` that its requests have, and over TLS the name that they ask for. */
  readonly host: string;
  readonly tls: boolean;
  /** Whether the agent judges who comes in here; else there is nothing that a request could get to. */
  readonly judged: boolean;
}

/** A haproxy.cfg of somebody's own, into which the fragment is merged as docs/haproxy.md says. */
export interface Merged {
  readonly name: string;
  /** Its judged backends: servers at 127.0.0.1:21xxx. Ports of 22xxx are other servers, those below are its own. */
  readonly backends: readonly string[];
  readonly entrances: readonly Entrance[];
  /** In a second file, as it is; else its rules are moved into frontends. */
  readonly apart: boolean;
  readonly changes: Partial<RenderInput>;
}

const API = { host: "orders.example.com", judged: true };
const IDENTITY = ["x-auth-subject", "x-auth-roles"];

/** Frontends that are judged and that are not, SNI, maps, ACL files, caches, stick tables, TCP, peers, chains. */
export const MERGED: readonly Merged[] = [
  {
    name: "shop",
    backends: ["orders", "invoices"],
    entrances: [
      { port: 18443, ...API, tls: true },
      { port: 19443, ...API, tls: true },
      { port: 10080, host: "www.shop.example", tls: false, judged: false },
      { port: 10443, host: "www.shop.example", tls: true, judged: false },
      { port: 15432, host: "www.shop.example", tls: false, judged: false },
    ],
    apart: false,
    changes: { scheme: "https" },
  },
  {
    name: "gateway",
    backends: ["orders"],
    entrances: [
      { port: 18080, ...API, tls: false },
      { port: 10443, ...API, tls: true },
      { port: 10443, host: "partners.example.com", tls: true, judged: true },
      { port: 10443, host: "www.example.com", tls: true, judged: false },
      { port: 10080, host: "www.example.com", tls: false, judged: false },
    ],
    apart: false,
    changes: { scheme: "https" },
  },
  {
    name: "office",
    backends: ["orders"],
    entrances: [
      { port: 18080, ...API, tls: false },
      { port: 10080, host: "intranet.office.example", tls: false, judged: false },
      { port: 10081, host: "intranet.office.example", tls: false, judged: false },
      { port: 10873, host: "intranet.office.example", tls: false, judged: false },
    ],
    apart: true,
    changes: { bind: ["127.0.0.1:18080"], client: { from: "x-forwarded-for", trusted: ["192.0.2.0/24"] } },
  },
];

const FOLDER = join(import.meta.dirname, "merged");
const BEGIN = "    # ---- countersign rules begin ----\n";
const END = "    # ---- countersign rules end ----\n";
const ERROR = (status: number) => `HTTP/1.0 ${status} Error\r\ncontent-length: 0\r\n\r\n`;

/** What the configurations name besides. */
const BESIDE: Files = {
  "shop.pem": SERVER_CERTIFICATE + SERVER_KEY,
  "authority.pem": AUTHORITY,
  "regions.map": "/v1/orders north\n/v2 south\n",
  "sites.map": "one.sites.example.com site\n",
  "campaigns.map": "summer.shop.example www\n",
  "blocked.lst": "203.0.113.0/24\n",
  "spammers.lst": "203.0.113.0/24\n",
  "400.http": ERROR(400),
  "502.http": ERROR(502),
  "503.http": ERROR(503),
};

/** What the head of the fragment tells the reader to do with frontends of its own; they have a line `# rules`. */
export function moved(user: string, fragment: string): string {
  const rules = fragment.slice(fragment.indexOf(BEGIN), fragment.indexOf(END) + END.length);
  const rest = fragment.replace(rules, "").replace(/^frontend countersign .*\n(?: .*\n|\n)*/m, "");
  return user.replaceAll("    # rules\n", () => rules) + rest;
}

/** The files of a HAProxy of this version, all of whose paths begin with /etc/haproxy. @param changes to what is rendered */
export function mergedFiles({ name, backends, apart, changes }: Merged, more: Partial<RenderInput>): Files {
  const user = readFileSync(join(FOLDER, `${name}.cfg`), "utf8");
  const input: RenderInput = {
    ...INPUT,
    ...changes,
    ...more,
    backends: backends.map((backend) => ({ name: backend, servers: [] })),
    uses: { ...INPUT.uses, identityHeaders: IDENTITY.map((header) => ({ name: header, max: 256 })) },
  };
  const fragment = renderFragment(input, `/etc/haproxy/${SPOE_FILE}`);
  return {
    ...(apart ? { "haproxy.cfg": user, "countersign.cfg": fragment } : { "haproxy.cfg": moved(user, fragment) }),
    [SPOE_FILE]: spoeFile(input, contractOf(input)),
    ...BESIDE,
  };
}

/** What `countersign check` knows of it. */
export function knownOf({ backends }: Merged): Partial<CheckInput> {
  return { backends, identityPrefix: "x-auth-", identityHeaders: IDENTITY };
}
