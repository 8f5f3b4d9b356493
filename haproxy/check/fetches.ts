import { readBy, type Sample } from "./samples.ts";
import { type State, versionOf } from "./state.ts";

/** Fetches that give the same value until a rule changes the part of the request that they read. */
const TARGET =
  /^(?:path|pathq|url|url_ip|url_port|base|base32|query|urlp|urlp_val|url32|capture\.req\.uri|baseq|req\.len)/;
const STABLE =
  /^(?:always_true|always_false|str|int|bool|bin|meth|ipv4|ipv6|unique-id|hostname|src|src_port|src_is_local|dst|dst_port|dst_is_local|fc_|bc_|ssl_|method|req\.|req_|http_auth|http_first_req|capture\.|var$|env$|so_|fe_name|fe_id|be_name|be_id|wait_end|http_version|l[ae]_)/;
/** Of those, the ones that the client does not choose. */
const CONSTANT: ReadonlySet<string> = new Set([
  "always_true",
  "always_false",
  "str",
  "int",
  "bool",
  "bin",
  "meth",
  "ipv4",
  "ipv6",
  "env",
  "hostname",
  "fe_name",
  "fe_id",
  "be_name",
  "be_id",
  "so_id",
  "so_name",
  "uuid",
  "unique-id",
  "date",
  "rand",
]);
/** What the policies are told of, and may be routed by. */
const JUDGED =
  /^(?:path|pathq|url|base|baseq|method|src|src_port|ssl_fc|req\.ssl_sni|ssl_fc_sni|dst_port|dst|fc_http_major|req\.ver|http_version)$/;

/** The parts of the request that the sample reads; undefined where its value may be another each time. */
function partsOf(sample: Sample): readonly string[] | undefined {
  const [fetch] = sample.calls;
  const name = fetch?.name ?? "";
  const variables = readBy(sample);
  if (TARGET.test(name)) return [...variables, "target"];
  if (!STABLE.test(name)) return undefined;
  if (name === "method" || name === "meth") return [...variables, "method"];
  if (/^(?:src|src_port)$/.test(name)) return [...variables, "src"];
  if (/^(?:dst|dst_port)$/.test(name)) return [...variables, "dst"];
  const header = headerOf(sample);
  if (header !== undefined) return [...variables, header === "" ? "headers" : `header ${header}`, "headers"];
  return variables;
}

/** The header that the sample reads, in lower case; empty for any, undefined where it reads none. */
export function headerOf({ calls: [fetch] }: Sample): string | undefined {
  if (fetch === undefined) return undefined;
  if (/^req\.f?hdr(?:_cnt|_ip|_val|_names)?$/.test(fetch.name)) return (fetch.values[0] ?? "").toLowerCase();
  if (/^(?:req\.cook(?:_cnt|_val)?|cookie)$/.test(fetch.name)) return "cookie";
  if (/^(?:http_auth|http_auth_group)/.test(fetch.name)) return "authorization";
  if (/^req\.hdrs/.test(fetch.name)) return "";
  return undefined;
}

/** What tells this value from one that was read before a change; undefined where it may be another each time. */
export function momentOf(sample: Sample, state: State): string | undefined {
  const parts = partsOf(sample);
  return parts?.map((part) => `${part}@${versionOf(state, part)}`).join(" ");
}

/** Whether a client has a say in it. */
export function isClients({ calls: [fetch] }: Sample): boolean {
  return (
    fetch !== undefined &&
    fetch.name !== "var" &&
    !CONSTANT.has(fetch.name) &&
    !/^(?:src|dst|ssl_fc|fc_|bc_|so_|nbsrv|be_|fe_)/.test(fetch.name)
  );
}

/** Whether the agent was told what the sample reads. @param told names of headers that a message carries */
export function isJudged(sample: Sample, told: ReadonlySet<string>): boolean {
  const header = headerOf(sample);
  if (header !== undefined) return header === "host" || told.has(header);
  const name = sample.calls[0]?.name ?? "";
  if (/^(?:query|urlp)/.test(name)) return told.has("query");
  return JUDGED.test(name) || CONSTANT.has(name) || name === "var";
}
