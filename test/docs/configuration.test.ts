import { readdirSync, readFileSync } from "node:fs";
import { test } from "tap";
import { parse } from "yaml";
import schema from "../../agent/config/config.schema.json" with { type: "json" };
import type { Config } from "../../agent/config/config.ts";
import { PRESETS } from "../../agent/config/presets/presets.ts";
import type { ConfigSchema } from "../../agent/config/section.ts";
import { ISSUER_TYPES } from "../../agent/identity/types.ts";
import { policyEnvironment } from "../../agent/loading/load.ts";
import { compilePolicies } from "../../policies/compile/compile.ts";
import { faultText } from "../../policies/fault.ts";
import { isLater, resolved, type Schema } from "../../policies/source/schema.ts";
import { Files, SHORTEST } from "../config/example.ts";
import { AUTHORITY, Authority, pem, SERVER_CERTIFICATE, SERVER_KEY } from "../support/certificates.ts";

const page = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");
const rows = [...page.matchAll(/^\| `([a-z_.[\]A-Z]+)` \|.*$/gm)].map(([row, key = ""]) => {
  const [, , value = "", preset = ""] = row.split("|").map((cell) => cell.trim());
  return { key, value, preset };
});
const keys = new Map(keysOf(schema as Schema, ""));

/** The least that an issuer of each type has to say, but for `oidc`, which the example's is of; and one of Okta's. */
const FORMS: Readonly<Record<string, object>> = {
  okta: {
    ...{ type: "oidc", issuer: "https://example.com/oauth2/a", audiences: ["orders"] },
    okta: { groups: { client: { id: "a", key: "okta.pem" } } },
  },
  awsIam: { type: "aws-iam", accounts: ["123456789012"], regions: ["us-west-2"], server_id: "a" },
  introspection: {
    ...{ type: "introspection", issuer: "https://example.com", audiences: ["orders"] },
    client: { id: "a", secret: "b" },
  },
  meshClients: { type: "mesh", bind: "*:8081", pods: { app: "haproxy" } },
  httpSignature: { type: "http-signature", agents: ["https://example.com/keys"] },
};

test("every key of the schema is on the page, and no other", (t) => {
  const known = [...keys].filter(([, { later }]) => !later).map(([key]) => key);
  // Of `kind`, one kind is described for all. The long forms of `listen.admin` and `listen.web` are that of `listen.spop`, those of claims are that of `groups`, and said to be; what `require` wants is said for `kind`; the client of `okta.groups`, `login` and `exchange` is that of introspection, and the claims of `login` are those of access tokens.
  const documented = known.filter(
    (key) =>
      !/^issuers\.NAME\.kind\.(?:person|agent|workload\[\]|workload\.NAME\.[^p]|workload\.NAME\.prefix)|^issuers\.NAME\.require\.NAME(?:\[\]|\.(?:[^p]|prefix))|\.(?:okta\.groups|login|exchange)\.client\.|\.login\.claims\.groups\.|^listen\.(?:admin|web)\.|\.claims\.(?:subject|scopes|kind|client|audience)\./.test(
        key,
      ),
  );
  t.strictSame(rows.map(({ key }) => key).sort(), documented.sort());
  t.end();
});

test("each key is required, or has the default, that the page says", (t) => {
  for (const { key, preset } of rows) {
    const { required, schema: own } = keys.get(key) ?? { required: false, schema: {} };
    if (key.endsWith("algorithms")) t.strictSame([preset, own.default], ["all of them", own.items?.enum]);
    else if (required) t.equal(preset, "required", key);
    else if (own.default === undefined) t.match(preset, own.type === "object" ? /^(none)?$/ : /^none$/, key);
    else t.strictSame(parse(preset.replaceAll("`", "")), own.default, key);
  }
  t.end();
});

test("each value has the range, or is one of the names, that the page says", (t) => {
  for (const { key, value } of rows) {
    const { schema: own = {} } = keys.get(key) ?? {};
    const from = own["x-minimum"] ?? own.minimum;
    const to = own["x-maximum"] ?? own.maximum;
    const range = /(?:duration|size|whole number), (.+) to (.+)/
      .exec(value)
      ?.slice(1)
      .map((text) => text.replaceAll("`", ""));
    t.strictSame(range, from === undefined ? undefined : [String(from), String(to)], key);
    const names = own.enum ?? own.items?.enum;
    if (names !== undefined)
      t.strictSame(
        [...value.matchAll(/`"?([^`"]+)"?`/g)].map(([, name]) => name),
        names,
        key,
      );
  }
  t.end();
});

test("the ends of each range are accepted, and nothing beyond", (t) => {
  const files = new Files(t.testdir());
  files.write("okta.pem", SERVER_KEY);
  const faults = (key: string, value: string) => {
    const named = key.replace("issuers.NAME.", "issuers.okta.").replace("backends.NAME.", "backends.files.");
    const steps = named.replace("[]", ".0").split(".");
    const document = parse(SHORTEST);
    if (named.startsWith("assertion.")) document.assertion = { issuer: "https://a", keys: "assertion-keys.json" };
    document.issuers.okta = structuredClone(ownForm(key)) ?? document.issuers.okta;
    document.haproxy.backends = { files: { servers: [{ address: "files.shop:80" }] } };
    const inner = steps.slice(0, -1).reduce((outer, step) => {
      outer[step] ??= {};
      return outer[step];
    }, document);
    inner[steps.at(-1) ?? ""] = /^\d+$/.test(value) ? Number(value) : value;
    // `max_stale` is at least as long as `refresh`.
    if (key.endsWith("refresh")) inner.max_stale = "168h";
    if (key.endsWith("max_stale")) inner.refresh = "10s";
    if (key.startsWith("sessions.")) {
      document.listen.web = "127.0.0.1:9902";
      document.sessions = {
        origins: ["https://a.example"],
        keys: "session-keys.json",
        lifetime: "720h",
        ...document.sessions,
      };
    }
    if (key.includes(".exchange.")) inner.client = { id: "a", key: "okta.pem" };
    if (key.startsWith("audit.")) document.audit = { file: "a", key: "k", ...document.audit };
    if (key.startsWith("traces.")) document.traces = { endpoint: "https://a/v1/traces", ...document.traces };
    if (/^(dpop|sessions)\.store/.test(key)) inner.url = "redis://127.0.0.1";
    return files.faults(JSON.stringify(document)).length;
  };
  for (const { key, value } of rows) {
    const [, from = "", to = ""] = /, `?(\w+)`? to `?(\w+)`?$/.exec(value) ?? [];
    if (to === "") continue;
    t.equal(faults(key, from), 0, `${key}: ${from}`);
    t.equal(faults(key, to), 0, `${key}: ${to}`);
    t.equal(
      faults(
        key,
        to.replace(/^\d+/, (count) => String(Number(count) + 1)),
      ),
      1,
      `${key}: beyond ${to}`,
    );
    if (!from.startsWith("0")) t.equal(faults(key, `0${from.replace(/^\d+/, "")}`), 1, `${key}: below ${from}`);
  }
  t.end();
});

test("what a later version will have is on the page, and nothing else is", (t) => {
  const [, list = ""] = /## Not in this version\n\n(.*)\n/.exec(page) ?? [];
  const named = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? "");
  const later = [...keys]
    .filter(([key, own]) => own.later && !/^listen\.(?:admin|web)\./.test(key))
    .map(([key]) => key);
  t.strictSame(named(list).sort(), later.sort());
  t.end();
});

test("so is what the pages of the identities say to write", (t) => {
  const folder = new URL("../../docs/identities/", import.meta.url);
  const files = new Files(t.testdir());
  const [spire, machines] = [new Authority("SPIRE"), new Authority("Machines")];
  const contents: Readonly<Record<string, string>> = {
    "ca.crt": AUTHORITY,
    "okta.pem": SERVER_KEY,
    "api-keys.yaml": "keys: {}\n",
    "bundle.pem": spire.pem,
    "ca.pem": machines.pem,
    "crl.pem": pem("X509 CRL", machines.revoke([])),
  };
  const asking = SHORTEST.replace('"*:80"', '"*:443 ssl crt a ca-file b verify optional"');
  /** What is mounted somewhere is a file beside the configuration here. */
  const mounted = (path: string) => {
    const name = path.slice(path.lastIndexOf("/") + 1);
    files.write(name, contents[name] ?? "secret\n");
    return name;
  };
  for (const name of readdirSync(folder)) {
    const text = readFileSync(new URL(name, folder), "utf8").replace(/(?:\/var)?\/run\/[\w./-]+/g, mounted);
    let config: Config | undefined;
    for (const [, block = ""] of text.matchAll(/```yaml\n(.*?)```/gs)) {
      if (block.startsWith("issuers:")) {
        const loaded = files.load(asking.replace(/^issuers: .*$/m, () => block));
        t.strictSame("faults" in loaded ? loaded.faults.map(faultText) : loaded.warnings, [], `${name}: ${block}`);
        config = "config" in loaded ? loaded.config : undefined;
      } else if (block.startsWith("roles:") && config !== undefined) {
        const source = { file: name, text: `${block}services: {}\n` };
        t.strictSame(compilePolicies([source], policyEnvironment(config, 0)).warnings.map(faultText), [], name);
      }
    }
  }
  t.end();
});

test("every type of issuers has a page, a row in the table of the identities, and a word on what is trusted", (t) => {
  const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
  for (const type of Object.keys(ISSUER_TYPES)) {
    t.match(read("docs/identities/README.md"), `[\`${type}\`](${type}.md)`, type);
    t.match(read("docs/security.md"), `(identities/${type}.md)`, type);
    t.match(read("README.md"), `(docs/identities/${type}.md)`, type);
    t.match(
      read("docs/architecture.md"),
      new RegExp(`^  ${type === "client-certificate" ? "certificate" : type}/ `, "m"),
      type,
    );
  }
  t.end();
});

test("every page of the identities is in their table, and every preset in its own", (t) => {
  const folder = new URL("../../docs/identities/", import.meta.url);
  const read = (name: string) => readFileSync(new URL(name, folder), "utf8");
  for (const name of readdirSync(folder)) if (name !== "README.md") t.match(read("README.md"), `](${name})`, name);
  const listed = [...read("oidc.md").matchAll(/^\| \[`([a-z0-9-]+)`\]\(#([a-z0-9-]+)\) \|/gm)];
  t.strictSame(
    listed.map(([, preset]) => preset),
    Object.keys(PRESETS),
  );
  const headings = [...read("oidc.md").matchAll(/^## (.+)$/gm)].map(([, text = ""]) =>
    text.toLowerCase().replaceAll(" ", "-"),
  );
  for (const [, preset, anchor = ""] of listed) {
    t.ok(headings.includes(anchor), anchor);
    t.match(read("oidc.md"), `    preset: ${preset}\n`);
  }
  t.end();
});

test("the page's examples are configurations", (t) => {
  const [whole = "", remote = "", sources = "", credentials = "", kind = "", , backends = ""] = [
    ...page.matchAll(/```yaml\n(.*?)```/gs),
  ].map(([, example]) => example);
  const own = /^ {2}backends:.*\n/m;
  t.match(whole, own);
  const examples = [
    whole.replace(/^ {4}audiences:.*\n/m, (line) => line + kind),
    whole.replace(/^ {4}audiences:.*\n/m, (line) => line + credentials),
    whole.replace(own, backends.replace("haproxy:\n", "")),
    whole.replace(/^issuers:\n(?: .*\n)+/m, sources.replace(/(?<=: )\/\S+\/(token|ca)/g, "$1")),
  ];
  const files = new Files(t.testdir());
  files.write("ca.crt", AUTHORITY);
  files.write("tls.crt", SERVER_CERTIFICATE);
  files.write("tls.key", SERVER_KEY);
  const [listen = "", agents = ""] = remote.split(/^haproxy:\n {2}bind:.*\n/m);
  examples.push(
    whole.replace(/^listen:\n(?: .*\n)+/m, listen.replaceAll("/etc/countersign/tls/", "")).replace(own, agents),
  );
  for (const example of [whole, ...examples]) {
    const loaded = files.load(example);
    t.strictSame("config" in loaded ? loaded.warnings : loaded.faults, []);
  }
  t.end();
});

type Demanding = Schema & { readonly required?: readonly string[] };

/** The form of the type that has a key which `oidc` has not. */
function ownForm(key: string): object | undefined {
  const [issuers, , own = ""] = key.split(".");
  if (own === "okta") return FORMS.okta;
  const definitions: Readonly<Record<string, Schema>> = schema.definitions as Schema["definitions"] & object;
  const has = (name: string) => Object.hasOwn(definitions[name]?.properties ?? {}, own);
  return issuers !== "issuers" || has("issuer") ? undefined : FORMS[Object.keys(FORMS).find(has) ?? ""];
}

interface Key {
  readonly schema: ConfigSchema;
  readonly required: boolean;
  readonly later: boolean;
}

/** The keys of a schema as the page writes them: `issuers.NAME.type`, `listen.spop[].mode`. */
function keysOf(schemaOrReference: Schema, prefix: string): readonly (readonly [string, Key])[] {
  const { then, else: otherwise } = schemaOrReference;
  // What several forms have, the last one describes.
  if (then !== undefined && otherwise !== undefined) return [...keysOf(then, prefix), ...keysOf(otherwise, prefix)];
  const own: Demanding = resolved(schemaOrReference, schema as Schema);
  const { properties = {}, additionalProperties, items } = own;
  const [way] = (own.anyOf ?? []).slice(-1) as readonly Demanding[];
  const required = [...(own.required ?? []), ...(way?.required ?? [])];
  const named = Object.entries(properties).flatMap(([name, child]) => {
    const key = prefix === "" ? name : `${prefix}.${name}`;
    return [[key, keyOf(child, required.includes(name))] as const, ...keysOf(child, key)];
  });
  const list = items === undefined ? [] : keysOf(items, `${prefix}[]`);
  if (typeof additionalProperties !== "object") return [...named, ...list];
  const below = keysOf(additionalProperties, `${prefix}.NAME`);
  return [
    ...named,
    ...list,
    ...(below.length > 0 ? below : [[`${prefix}.NAME`, keyOf(additionalProperties)] as const]),
  ];
}

function keyOf(schemaOrReference: Schema, required = false): Key {
  const own = resolved(schemaOrReference, schema as Schema);
  return { schema: own, required, later: isLater(own) };
}
