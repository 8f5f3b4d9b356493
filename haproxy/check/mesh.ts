import { AT_MESH_BIND, MESH_BIND, MESH_HEADER, MESH_RULES } from "../mesh-bind.ts";
import { OWN } from "../variables.ts";
import { reaches } from "./addresses.ts";
import { type Finding, finding } from "./finding.ts";
import { headerMatches, headerRuleOf } from "./header-rules.ts";
import type { Model } from "./model.ts";
import { type ProxySection, rulesOf } from "./proxies.ts";
import { lineText, type Statement, texts } from "./where.ts";

const CODE = "mesh";
const SAMPLE = `var(${OWN.meshed})`;
const WRITES = new RegExp(
  `set-var(?:-fmt)?\\((?:${[OWN.reached, OWN.sidecar, OWN.meshed].join("|").replaceAll(".", "\\.")})[,)]`,
);
const RULES = new Set(MESH_RULES.map((rule) => `http-request ${rule}`));

/**
 * Who a meshed client is, is told of nobody else: the header counts from the proxy in HAProxy's pod alone. The lines
 * that see to that are few and need no variants, so they are held to what is rendered, word by word.
 */
export function meshFindings(model: Model): readonly Finding[] {
  const engines = [...model.engines.values()].flat();
  const asked = engines.flatMap(({ messages }) => messages).flatMap(({ args }) => args);
  const told = asked.filter(({ name }) => name === "mesh");
  if (told.length === 0) return [];
  const judged = [...model.engines].filter(([, own]) => own.length > 0).map(([proxy]) => proxy);
  return [
    ...told
      .filter(({ sample }) => sample !== SAMPLE)
      .map(({ statement }) =>
        fault(statement, "tells the agent of a mesh identity that anybody may have written", `args mesh=${SAMPLE}`),
      ),
    ...model.sections
      .flatMap(({ statements }) => statements.filter(isForeign))
      .map((statement) =>
        fault(
          statement,
          "says who a meshed client is in its own way",
          "the lines that countersign generate haproxy writes, and no others",
        ),
      ),
    ...judged.flatMap(before),
    ...bindFindings(model, judged),
  ];
}

function fault(statement: Statement, what: string, right: string): Finding {
  return finding("fault", CODE, statement, `"${lineText(statement)}" ${what}`, right);
}

function wordsOf(statement: Statement): string {
  return texts(statement).join(" ");
}

function isForeign(statement: Statement): boolean {
  const words = wordsOf(statement);
  return WRITES.test(words) && !RULES.has(words);
}

/** What would change the addresses, or write the header, before they are read. */
function before(proxy: ProxySection): readonly Finding[] {
  const rules = rulesOf(proxy, "http-request").map(({ statement }) => statement);
  const last = rules.findLastIndex((statement) => RULES.has(wordsOf(statement)));
  if (last < 0) return [];
  const early = [...rulesOf(proxy, "tcp-request").map(({ statement }) => statement), ...rules.slice(0, last)];
  return early
    .filter((statement) => !isElsewhere(statement) && changes(texts(statement)))
    .map((statement) =>
      fault(
        statement,
        "changes, before it is read, who has come to the bind for meshed clients",
        `write it below the lines that set ${OWN.meshed}, or with !${AT_MESH_BIND}`,
      ),
    );
}

/** Whether it is surely not for the bind of meshed clients. */
function isElsewhere(statement: Statement): boolean {
  const words = wordsOf(statement);
  return words.includes(` if `) && words.includes(`!${AT_MESH_BIND}`) && !/ (?:or|\|\|) /.test(words);
}

const ADDRESSES = /^(?:set-src|set-dst|expect-proxy|expect-netscaler-cip)\b/;

function changes(words: readonly string[]): boolean {
  const at = words.findIndex((word, index) => index > 0 && !["connection", "session", "content"].includes(word));
  const action = words[at] ?? "";
  if (ADDRESSES.test(action)) return true;
  if (!/^(?:set|add|replace)-(?:header|headers-bin|value)\b/.test(action)) return false;
  return headerMatches(headerRuleOf(words.slice(at)), MESH_HEADER);
}

const BELIEVES: ReadonlySet<string> = new Set(["accept-proxy", "accept-netscaler-cip", "transparent"]);

/** Its binds, and who of this HAProxy dials them: what comes from here looks as if the proxy had sent it. */
function bindFindings({ proxies }: Model, judged: readonly ProxySection[]): readonly Finding[] {
  const named = proxies.flatMap(({ binds }) => binds).filter(({ statement }) => nameOf(statement) === MESH_BIND);
  const [first, ...others] = named;
  if (first === undefined) {
    const place = judged[0]?.place;
    if (place === undefined) return [];
    const found = `no bind is called ${MESH_BIND}: meshed clients are nobody`;
    return [finding("warning", CODE, place, found, `bind ADDRESS:PORT name ${MESH_BIND}`)];
  }
  const servers = proxies.flatMap((proxy) => proxy.servers);
  const dialling = servers.filter(({ address }) =>
    named.some(({ addresses }) => addresses.some((one) => address !== undefined && reaches(address, one))),
  );
  return [
    ...others.map(({ statement }) =>
      fault(statement, "is a second bind for meshed clients", "another name for it, or none"),
    ),
    ...named
      .filter(({ statement }) => texts(statement).some((word) => BELIEVES.has(word)))
      .map(({ statement }) =>
        fault(statement, "lets a client say where it comes from", `leave ${[...BELIEVES].join(", ")} out`),
      ),
    ...dialling.map(({ statement }) =>
      fault(
        statement,
        "leads to the bind for meshed clients: what it sends is believed there",
        "another server, or none",
      ),
    ),
  ];
}

function nameOf(statement: Statement): string | undefined {
  const words = texts(statement);
  return words[words.lastIndexOf("name") + 1];
}
