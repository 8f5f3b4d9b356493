import { AT_MESH_BIND, MESH_BIND, MESH_HEADER, MESH_RULES } from "../mesh-bind.ts";
import { OWN } from "../variables.ts";
import { reaches } from "./addresses.ts";
import { type Finding, finding } from "./finding.ts";
import { headerMatches, headerRuleOf } from "./header-rules.ts";
import { perhapsDialling } from "./mesh-servers.ts";
import type { Model } from "./model.ts";
import { type ProxySection, rulesOf } from "./proxies.ts";
import { lineText, type Statement, texts } from "./where.ts";

const CODE = "mesh";
const SAMPLE = `var(${OWN.meshed})`;
const NAMES = [OWN.reached, OWN.sidecar, OWN.meshed].map((name) => name.replaceAll(".", "\\."));
/** Whatever names one of them but to read it: actions that write variables have many names. */
const WRITES = new RegExp(`(?<!(?<![\\w-])(?:var|strcmp)\\()(?:${NAMES.join("|")})(?![\\w.])`);
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
    ...model.proxies.flatMap(apart),
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

/** They stand once, in their order, with nothing between them. */
function apart(proxy: ProxySection): readonly Finding[] {
  const rules = rulesOf(proxy, "http-request").map(({ statement }) => statement);
  const first = rules.findIndex((statement) => RULES.has(wordsOf(statement)));
  const [place] = rules.slice(first);
  if (first < 0 || place === undefined) return [];
  const together =
    rules
      .slice(first, first + RULES.size)
      .map(wordsOf)
      .join("\n") === [...RULES].join("\n");
  if (together && !rules.slice(first + RULES.size).some((statement) => RULES.has(wordsOf(statement)))) return [];
  return [
    fault(
      place,
      "is one of the lines that read who a meshed client is, which do not stand together, once",
      "the lines that countersign generate haproxy writes, in their order, and nothing between them",
    ),
  ];
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
function bindFindings(model: Model, judged: readonly ProxySection[]): readonly Finding[] {
  const { proxies } = model;
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
    ...perhapsDialling(model, named, dialling),
  ];
}

function nameOf(statement: Statement): string | undefined {
  const words = texts(statement);
  return words[words.lastIndexOf("name") + 1];
}
