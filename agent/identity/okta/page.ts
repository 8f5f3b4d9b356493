import { isMapping } from "../../../policies/claim-path.ts";
import { failed } from "../../http/fetch-error.ts";
import { parseObject } from "../../http/json.ts";
import type { GroupsConfig } from "./section.ts";

const LONGEST_GROUP = 1024;

/**
 * The groups that one answer lists.
 *
 * @throws {FetchError} where one of them cannot be read: a list without it would be another list
 */
export function groupsOf(url: URL, body: Buffer, values: GroupsConfig["values"]): readonly string[] {
  const list = parseObject(Buffer.concat([Buffer.from('{"list":'), body, Buffer.from("}")]))?.list;
  if (!Array.isArray(list)) throw failed(url, "the body is not a list, or can be read in two ways");
  return list.map((group: unknown) => {
    const { id, profile } = isMapping(group) ? group : {};
    const value = values === "id" ? id : isMapping(profile) ? profile.name : undefined;
    if (typeof value === "string" && value !== "" && value.length <= LONGEST_GROUP) return value;
    throw failed(url, `a group has no ${values} that can be read`);
  });
}

/**
 * Where the list goes on (RFC 8288); undefined where it ends. The address is followed as it is, and only within the org.
 *
 * @param links all `link` headers, joined by commas
 * @throws {FetchError}
 */
export function nextPage(url: URL, links: string): URL | undefined {
  const [, target] = /<([^>]*)>\s*;(?:[^,<]*;)?\s*rel="?next"?/i.exec(links) ?? [];
  if (target === undefined) return undefined;
  const next = URL.parse(target);
  if (next?.origin === url.origin && next.pathname === url.pathname && next.username === "") return next;
  throw failed(url, "the list goes on at an address that may not be asked");
}
