import { isLocal } from "./addresses.ts";
import { type Finding, finding } from "./finding.ts";
import type { Model } from "./model.ts";
import type { ProxySection, Server } from "./proxies.ts";
import type { Engine } from "./spoe.ts";
import { lineText, texts } from "./where.ts";

/** SPOP says in plain text who may pass: off this machine only an agent counts that has proven by TLS who it is. */
export function remote(engine: Engine, model: Model): readonly Finding[] {
  return model.proxies
    .filter(({ name, kind }) => kind !== "frontend" && name === engine.backend)
    .flatMap((proxy) => proxy.servers.flatMap((server) => serverFinding(server, proxy, model)));
}

function serverFinding(server: Server, proxy: ProxySection, model: Model): readonly Finding[] {
  const { statement, address } = server;
  if (address === undefined || isLocal(address)) return [];
  const what = weakness(wordsOf(server, proxy), model);
  if (what === undefined) return [];
  const right = "an agent on loopback or a unix socket, or: ssl verify required ca-file FILE verifyhost NAME";
  return [finding("fault", "channel", statement, `"${lineText(statement)}" ${what}`, right)];
}

/** A server's own words, behind those of the `default-server` lines above it. */
function wordsOf({ statement }: Server, { statements }: ProxySection): readonly string[] {
  const above = statements.slice(0, Math.max(0, statements.indexOf(statement)));
  return [...above.filter(({ words }) => words[0]?.text === "default-server"), statement].flatMap((one) =>
    texts(one, 1),
  );
}

function weakness(words: readonly string[], { sections }: Model): string | undefined {
  const plain = 'asks the agent over the network in plain text: whoever is on the way can answer "allow"';
  if (words.lastIndexOf("ssl") <= words.lastIndexOf("no-ssl")) return plain;
  const behind = (keyword: string) => words[words.lastIndexOf(keyword) + 1];
  const verify = words.includes("verify") ? behind("verify") : globalVerify(sections);
  if (verify === "none")
    return 'asks whoever answers, by TLS that proves nothing: whoever is on the way can answer "allow"';
  const named = words.includes("verifyhost") || words.includes("sni");
  if (named || behind("ca-file") !== "@system-ca") return undefined;
  return "asks whoever has a certificate of any authority of the machine's: its name is not looked at";
}

/** `ssl-server-verify` of the global section. */
function globalVerify(sections: Model["sections"]): string | undefined {
  const lines = sections.filter(({ kind }) => kind === "global").flatMap(({ statements }) => statements);
  return lines.findLast(({ words }) => words[0]?.text === "ssl-server-verify")?.words[1]?.text;
}
