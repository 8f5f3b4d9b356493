import { MESH_BIND, MESH_HEADER } from "../mesh-bind.ts";
import type { Address } from "./addresses.ts";
import { type Finding, finding } from "./finding.ts";
import { headerMatches, headerRuleOf } from "./header-rules.ts";
import type { Model } from "./model.ts";
import { type Bind, modeOf, type ProxySection, rulesOf, type Server } from "./proxies.ts";
import { isUnknown, lineText, texts } from "./where.ts";

/**
 * Servers of which nobody knows whether they are the bind for meshed clients: a name, or an address that may be the
 * pod's own or its Service's, with the bind's port. What a frontend hands on to one of them is believed there, so it must
 * take the header away.
 *
 * @param known those that surely are
 */
export function perhapsDialling({ proxies }: Model, binds: readonly Bind[], known: readonly Server[]): Finding[] {
  const addresses = binds.flatMap((bind) => bind.addresses);
  return proxies.flatMap((proxy) => {
    const open = proxy.servers.filter((server) => !known.includes(server) && addresses.some(mayBe(server)));
    const from = open.length > 0 && proxies.find((frontend) => mayLead(frontend, proxy) && !deletes(frontend));
    if (!from) return [];
    return open.map(({ statement }) => {
      const found = `"${lineText(statement)}" may lead to the bind for meshed clients, with what the clients of ${from.kind} ${from.name} say in ${MESH_HEADER}`;
      const right = `in ${from.name}: http-request del-header ${MESH_HEADER}, or another port for ${MESH_BIND}`;
      return finding("unproven", "mesh", statement, found, right);
    });
  });
}

function mayBe({ address }: Server): (bind: Address) => boolean {
  return (bind) => {
    if (address === undefined || address.kind === "path" || bind.kind === "path") return false;
    if (address.host === "loopback" && bind.host !== "any" && bind.kind === "ip") return false;
    if (address.port === undefined || bind.port === undefined) return true;
    return address.port >= bind.port && address.port <= (bind.last ?? bind.port);
  };
}

function mayLead(frontend: ProxySection, proxy: ProxySection): boolean {
  if (frontend.binds.length === 0) return false;
  if (frontend === proxy) return true;
  const lines = frontend.statements.filter(({ words }) => /^(?:use|default)_backend$/.test(words[0]?.text ?? ""));
  const names = lines.map(({ words }) => words[1]?.text ?? "");
  return names.some((name) => name === proxy.name || name.includes("%[") || isUnknown(name));
}

/** Whether no request gets through it with a header of the client's. */
function deletes(frontend: ProxySection): boolean {
  if (modeOf(frontend).mode !== "http") return false;
  const rules = rulesOf(frontend, "http-request").map(({ statement }) => texts(statement, 1));
  const first = rules.find((words) => words[0] === "allow" || removes(words));
  return first !== undefined && removes(first);
}

function removes(words: readonly string[]): boolean {
  const always = words[0] === "del-header" && !words.includes("if") && !words.includes("unless");
  return always && headerMatches(headerRuleOf(words), MESH_HEADER);
}
