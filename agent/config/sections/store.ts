import { isLoopback } from "../../http/fetch.ts";
import type { StoreConfig } from "../config.ts";
import type { Section } from "../section.ts";
import { readCa } from "./provider.ts";

/** Reads `store`: a Redis or Valkey that agents share; undefined where nothing says it. */
export function readStore(section: Section): StoreConfig | undefined {
  const store = section.section("store");
  if (store.keys().length === 0) return undefined;
  const url = readUrl(store);
  if (store.keys().includes("ca") && url.startsWith("redis:")) {
    store.fault(["ca"], "a `url` of rediss://, which is TLS: nothing is to be trusted otherwise");
  }
  return { url, timeout: store.milliseconds("timeout"), ca: readCa(store) };
}

/** Warns where anybody between could read the password, and answer in the store's place. */
export function warnOfPlainText(section: Section, { url }: StoreConfig): void {
  const { protocol = "", hostname = "" } = URL.parse(url) ?? {};
  if (protocol !== "redis:" || isLoopback(hostname)) return;
  section.section("store").warn(["url"], "plain text to another machine", "rediss://HOST:PORT, which is TLS");
}

/** A fault shows no part of it: there may be a password in it. */
function readUrl(store: Section): string {
  const url = store.text("url");
  const { protocol = "", hostname = "" } = URL.parse(url) ?? {};
  if (url !== "" && !(["redis:", "rediss:"].includes(protocol) && hostname !== "")) {
    const right = "redis://HOST:PORT, or rediss://HOST:PORT for TLS, with user and password where it wants them";
    store.fault(["url"], right, "an address that is not redis://HOST:PORT");
  }
  return url;
}
