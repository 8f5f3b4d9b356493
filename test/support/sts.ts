import { readFileSync } from "node:fs";
import type { RequestListener } from "node:http";
import type { Test } from "tap";
import { type Front, startFront } from "../../demo/front.ts";
import { judge, type Keys } from "../../demo/sts.ts";
import { STS_CERTIFICATE, STS_KEY } from "../../demo/sts-certificate.ts";
import RESPONSES from "../vectors/aws/sts-responses.json" with { type: "json" };
import { type ConnectProxy, startConnectProxy } from "./connect-proxy.ts";

/** PEM text of who has signed the stand-in's certificate. */
export const STS_AUTHORITY = readFileSync(new URL("../../demo/sts-authority.pem", import.meta.url), "utf8");

export type Recorded = keyof typeof RESPONSES;

/** Whom a key belongs to: a recorded answer, or one put together. */
export type Holder = Recorded | { readonly account: string; readonly arn: string; readonly userId: string };

/**
 * The stand-in for AWS STS (demo/sts.ts), which answers as AWS does, as far as answers were recorded: no AWS is asked
 * anywhere in these tests.
 */
export interface Sts {
  /** What answers instead; by the end of a request's path. */
  readonly front: Front;
  /** Where hosts of AWS lead here: in the configuration, `proxy` and `ca`. */
  readonly proxy: ConnectProxy;
  readonly ca: string;
  /** Keys that it knows, by their id, and whom they belong to. */
  readonly keys: Keys<Holder>;
  /** Requests that have arrived. */
  readonly requests: readonly { readonly url: string; readonly headers: Readonly<Record<string, unknown>> }[];
  /** Answers in XML, as AWS does to whom does not ask for JSON. */
  format: "json" | "xml";
}

/** @param clock milliseconds since the epoch */
export async function startSts(t: Test, clock: () => number): Promise<Sts> {
  const keys: Sts["keys"] = new Map();
  const requests: { url: string; headers: Readonly<Record<string, unknown>> }[] = [];
  const listener: RequestListener = (request, response) => {
    const { method = "", url = "", headers } = request;
    requests.push({ url, headers });
    const name = judge(method, url, headers, keys, clock());
    const answer = typeof name === "string" ? RESPONSES[name] : madeUp(name);
    const json = sts.format === "json" && headers.accept === "application/json";
    response.writeHead(answer.status, { "content-type": json ? "application/json" : "text/xml" });
    response.end(json ? JSON.stringify(answer.json) : answer.xml);
  };
  const front = await startFront(listener, { tls: { key: STS_KEY, cert: STS_CERTIFICATE } });
  const proxy = await startConnectProxy(undefined, Number(new URL(front.url).port));
  t.teardown(async () => {
    await proxy.close();
    await front.close();
  });
  const sts: Sts = { front, proxy, ca: STS_AUTHORITY, keys, requests, format: "json" };
  return sts;
}

function madeUp({ account, arn, userId }: Exclude<Holder, string>) {
  const result = { Account: account, Arn: arn, UserId: userId };
  const json = { GetCallerIdentityResponse: { GetCallerIdentityResult: result } };
  const { xml } = RESPONSES.user;
  const put = (text: string, name: keyof typeof result) =>
    text.replace(new RegExp(`<${name}>[^<]*`), `<${name}>${result[name]}`);
  return { status: 200, json, xml: (["Account", "Arn", "UserId"] as const).reduce(put, xml) };
}
