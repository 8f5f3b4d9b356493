import { type Access, accessOf } from "../../../policies/tools/access.ts";
import { EXIT } from "../../processes/exit.ts";
import { type Context, jsonText, loadOrFail, type Options, UsageError } from "../command.ts";

/** Who may do what under the policies of the configuration: for a review of access. */
export async function access(rest: readonly string[], options: Options, context: Context): Promise<number> {
  if (rest.length > 0) throw new UsageError(`one argument too many: ${rest[0]}`);
  const { policies } = await loadOrFail(options, context);
  const all = accessOf(policies);
  const { revision } = policies;
  context.out(
    options.json === true ? jsonText({ revision, access: all }) : `revision ${revision}\n${all.map(text).join("")}`,
  );
  return EXIT.fine;
}

function text(access: Access): string {
  const { method, host, path, rule, allow, deny, scopes, when, mcp, anonymous, issuers, audiences } = access;
  const lines = [
    `\n${method} ${host}${path}  ${rule}`,
    ...allow.map((way) => `  ${way}`),
    ...(anonymous ? ["  anonymous"] : []),
    ...deny.map((way) => `  not ${way}`),
    ...(scopes.length > 0 ? [`  with the scopes ${scopes.join(", ")}`] : []),
    ...(when === undefined ? [] : [`  when ${when}`]),
    ...(mcp === undefined ? [] : [`  saying to the MCP server ${mcp}`]),
    ...(issuers.length > 0 ? [`  of ${issuers.join(", ")}`] : []),
    ...(audiences.length > 0 ? [`  for ${audiences.join(", ")}`] : []),
  ];
  return `${lines.join("\n")}\n`;
}
