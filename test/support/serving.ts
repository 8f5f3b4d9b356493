import type { Test } from "tap";
import { SpopClient } from "../../protocol/client.ts";
import type { Action } from "../../protocol/decode.ts";
import { argumentsFor } from "./agent.ts";
import { configuration, folderOf, type Served, serve } from "./serve.ts";

const REST = 'issuers: {}\nhaproxy: { version: "3.2", bind: ["*:8080"], scheme: http, backends: {} }\n';
/** A policy that lets anyone read orders, by a route of this name. */
export const policy = (route: string) =>
  `services: { s: { hosts: [orders.example.com], backend: b, routes: [{ name: ${route}, match: [GET /v1/orders], allow: [anyone] }] } }\n`;

/** A running agent on a folder with these files. @param prepare makes more of the folder first */
export async function agent(
  t: Test,
  files: Readonly<Record<string, string>>,
  prepare: (folder: string) => void = () => {},
  workers = 1,
) {
  const { text, ...ports } = await configuration(`workers: ${workers}\n${REST}`);
  const folder = folderOf(t, { "countersign.yaml": text, ...files });
  prepare(folder);
  return { folder, served: await serve(t, folder, ports) };
}

/** A connection to it, as HAProxy opens one. */
export async function client(t: Test, { spop }: Served): Promise<SpopClient> {
  const opened = await SpopClient.open({ host: "127.0.0.1", port: spop });
  t.teardown(() => opened.socket.destroy());
  return opened;
}

export const value = (actions: readonly Action[], name: string) =>
  actions.find((action) => action.name === name)?.value.value;
export const NOTIFY = [{ name: "authorize", args: argumentsFor({ contract: "1:subject", authorization: null }) }];

/** The rule by which a request for orders is judged now. */
export async function ruleOf(connection: SpopClient): Promise<unknown> {
  return value(await connection.notify(NOTIFY), "rule");
}
