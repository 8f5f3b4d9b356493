import { isAbsolute, join } from "node:path";
import { rootCertificates } from "node:tls";
import { type Address, addressesOf, isLocal } from "./addresses.ts";
import { keysIn } from "./authorities.ts";
import { type Finding, finding } from "./finding.ts";
import type { Model } from "./model.ts";
import { optionsOf, type ProxySection, type Server } from "./proxies.ts";
import type { Engine } from "./spoe.ts";
import { lineText, type Statement } from "./where.ts";

/** SPOP says in plain text who may pass: off this machine only an agent counts that has proven by TLS who it is. */
export function remote(engine: Engine, model: Model): readonly Finding[] {
  return model.proxies
    .filter(({ name, kind }) => kind !== "frontend" && name === engine.backend)
    .flatMap((proxy) => proxy.servers.flatMap((server) => serverFinding(server, proxy, model)));
}

function serverFinding(server: Server, proxy: ProxySection, model: Model): readonly Finding[] {
  const { statement, address } = server;
  const words = wordsOf(server, proxy);
  if (address === undefined || (isLocal(address) && isLocal(dialled(address, words)))) return [];
  const weak = weakness(words, statement, model);
  if (weak === undefined) return [];
  const right = "an agent on loopback or a unix socket, or: ssl verify required ca-file FILE verifyhost NAME";
  return [finding(weak.level, "channel", statement, `"${lineText(statement)}" ${weak.what}`, right)];
}

/** Who is on the other end of the connection: a SOCKS proxy, where there is one, which leads on to the address. */
function dialled(address: Address, words: readonly string[]): Address {
  const proxy = words[words.lastIndexOf("socks4") + 1];
  return words.includes("socks4") ? (addressesOf(proxy ?? "")[0] ?? address) : address;
}

/** A server's own options, behind those of the `default-server` lines above it. */
function wordsOf({ statement }: Server, { statements }: ProxySection): readonly string[] {
  const above = statements.slice(0, Math.max(0, statements.indexOf(statement)));
  return [...above.filter(({ words }) => words[0]?.text === "default-server"), statement].flatMap(optionsOf);
}

interface Weakness {
  readonly level: "fault" | "unproven";
  readonly what: string;
}

function weakness(words: readonly string[], statement: Statement, model: Model): Weakness | undefined {
  const plain = 'asks the agent over the network in plain text: whoever is on the way can answer "allow"';
  if (words.lastIndexOf("ssl") <= words.lastIndexOf("no-ssl")) return { level: "fault", what: plain };
  const behind = (keyword: string) => words[words.lastIndexOf(keyword) + 1];
  const verify = words.includes("verify") ? behind("verify") : globalValue("ssl-server-verify", model);
  const nothing = 'asks whoever answers, by TLS that proves nothing: whoever is on the way can answer "allow"';
  if (verify === "none") return { level: "fault", what: nothing };
  // What is no constant has no value here: a connection to an agent is nobody's request.
  const named = words.includes("verifyhost") || (words.includes("sni") && /^str\(.+\)$/.test(behind("sni") ?? ""));
  if (named) return undefined;
  return signedBy(words.includes("ca-file") ? behind("ca-file") : undefined, statement, model);
}

/** Without a name whoever has a certificate of the authorities answers: of one's own that may be agents only. */
function signedBy(file: string | undefined, statement: Statement, model: Model): Weakness | undefined {
  const name = "its name is not looked at";
  if (file === undefined || file === "@system-ca")
    return { level: "fault", what: `asks whoever has a certificate of any authority of the machine's: ${name}` };
  const base = globalValue("ca-base", model);
  const path = base === undefined || isAbsolute(file) ? file : join(base, file);
  const what = `asks whoever has a certificate of an authority in ${file}: ${name}`;
  const keys = keysIn(model.named(path, statement)?.text ?? "");
  if (keys === undefined) return { level: "unproven", what };
  return keys.some((key) => publicKeys().has(key)) ? { level: "fault", what } : undefined;
}

let known: ReadonlySet<string> | undefined;

/** The keys of the authorities that sign for everybody. */
function publicKeys(): ReadonlySet<string> {
  known ??= new Set(keysIn(rootCertificates.join("\n")));
  return known;
}

function globalValue(keyword: string, { sections }: Model): string | undefined {
  const lines = sections.filter(({ kind }) => kind === "global").flatMap(({ statements }) => statements);
  return lines.findLast(({ words }) => words[0]?.text === keyword)?.words[1]?.text;
}
