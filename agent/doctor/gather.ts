import { createPrivateKey, X509Certificate } from "node:crypto";
import { readText } from "../config/files/read-file.ts";
import type { AgentStatus, CertificateFile, Endpoint } from "./sources.ts";

const LARGEST = 1 << 20;
const LARGEST_PAGE = 16 << 20;
/** Milliseconds for one answer. */
const PATIENCE = 5_000;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----[^-]+-----END (?:[A-Z]+ )?PRIVATE KEY-----/;

/** Something that was named and cannot be looked at. */
export class UnreadableError extends Error {
  override readonly name = "UnreadableError";
}

/** @throws UnreadableError */
export function readWhole(file: string): string {
  const read = readText(file, LARGEST_PAGE);
  if ("text" in read) return read.text;
  throw new UnreadableError(`${file} cannot be read: ${read.problem}`);
}

/** @throws UnreadableError where it cannot be read, or what looks like a certificate is none */
export function readCertificates(file: string): CertificateFile {
  const read = readText(file, LARGEST);
  if (!("text" in read)) throw new UnreadableError(`${file} cannot be read: ${read.problem}`);
  try {
    const certificates = [...read.text.matchAll(CERTIFICATE)].map(([pem]) => new X509Certificate(pem));
    const [key] = KEY.exec(read.text) ?? [];
    const keyFits = key === undefined ? undefined : certificates[0]?.checkPrivateKey(createPrivateKey(key));
    return { file, certificates, keyFits };
  } catch {
    throw new UnreadableError(`${file} has a certificate or key that cannot be read`);
  }
}

/** @throws UnreadableError where it does not answer in time and well */
export async function ask(url: string, clock: () => number): Promise<Endpoint<string>> {
  try {
    const began = clock();
    const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE), redirect: "error" });
    const date = Date.parse(response.headers.get("date") ?? "");
    const skew = Number.isNaN(date) ? undefined : date - (began + clock()) / 2;
    const content = await bounded(response);
    if (!response.ok && response.status !== 503) throw new Error(`it answered ${response.status}`);
    return { url, content, skew };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    throw new UnreadableError(`${url} cannot be asked: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

async function bounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > LARGEST_PAGE) throw new Error(`its answer has more than ${LARGEST_PAGE} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** The parts of /status. @throws UnreadableError where it is no agent's */
export function statusOf({ url, content, skew }: Endpoint<string>): Endpoint<AgentStatus> {
  try {
    const { revision, phase, problems, pipelining_advice, log } = JSON.parse(content);
    if (typeof phase !== "string" || !Array.isArray(problems)) throw new Error();
    const status = {
      revision: typeof revision === "string" ? revision : null,
      phase,
      problems: problems.map(String),
      pipeliningAdvice: typeof pipelining_advice === "string" ? pipelining_advice : null,
      linesDropped: Number(log?.lines_dropped ?? 0),
    };
    return { url, skew, content: status };
  } catch {
    throw new UnreadableError(`${url} is not the /status of an agent`);
  }
}
