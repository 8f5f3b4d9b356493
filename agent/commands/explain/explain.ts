import { type Explanation, explain, type Step } from "../../../policies/tools/explain.ts";
import { parseRequestLine } from "../../../policies/tools/request-line.ts";
import { mcpMessageOf } from "../../answer/mcp.ts";
import { EXIT } from "../../processes/exit.ts";
import {
  addressOption,
  CONFIG_OPTION,
  type Command,
  type Context,
  JSON_OPTION,
  jsonText,
  loadOrFail,
  type Options,
  textOption,
  UsageError,
} from "../command.ts";
import { explainConfig } from "./explain-config.ts";
import { read, whoOf } from "./who.ts";

export const EXPLAIN: Command = {
  usage:
    'explain ["METHOD URL"] [--token-file F | --certificate-file F | --claims F --issuer NAME] [--header "NAME: VALUE"]... [--body F] [--config FILE] [--json]',
  summary: "every step to the decision on one request, or every value of the configuration",
  help: `
Without a request it tells each value of the configuration that is in force, and where it comes from: a line of the
file, a preset, or the default. References to secrets are shown as they stand.

With --token-file the token is really verified, by the issuer's keys, and with --certificate-file a client's certificate by
its authorities, as if HAProxy had verified it. With --claims the claims are taken as proven: for
trying out a policy. Nothing is sent to a running agent.
`,
  example: 'countersign explain "GET https://orders.example.com/v1/orders/42" --claims alice.json --issuer okta',
  options: {
    "token-file": { type: "string", value: "F", help: "a file with an access token, or an API key" },
    "certificate-file": {
      type: "string",
      value: "F",
      help: "a PEM file with a client's certificate, which comes first",
    },
    "mesh-identity": {
      type: "string",
      value: "NAME",
      help: "ACCOUNT.NAMESPACE of a meshed client, or its whole name, as if HAProxy's proxy had told it",
    },
    claims: { type: "string", value: "F", help: "a JSON file with the claims of a token" },
    issuer: { type: "string", value: "NAME", help: "the issuer whose claims they are" },
    header: {
      type: "string",
      multiple: true,
      value: '"NAME: VALUE"',
      help: "a request header that the policies read; several times",
    },
    body: { type: "string", value: "F", help: "a file with the body, for a route with `mcp`" },
    src: { type: "string", value: "ADDRESS", help: "the client's address; default: 192.0.2.1" },
    ...CONFIG_OPTION,
    ...JSON_OPTION,
  },
  positionals: [0, 1],
  run: explainEither,
};

async function explainEither([text]: readonly string[], options: Options, context: Context): Promise<number> {
  if (text !== undefined) return await explainRequest(text, options, context);
  const of = ["token-file", "certificate-file", "mesh-identity", "claims", "issuer", "header", "body", "src"].find(
    (name) => options[name] !== undefined,
  );
  if (of !== undefined) throw new UsageError(`--${of} is about a request: "GET https://HOST/PATH" is missing`);
  return explainConfig(options, context);
}

async function explainRequest(text: string, options: Options, context: Context): Promise<number> {
  const written = parseRequestLine(text);
  if ("offset" in written) throw new UsageError(`${written.found}; ${written.right}`);
  const headers = headersOf(options);
  const src = addressOption(options, "src") ?? "192.0.2.1";
  const { config, policies } = await loadOrFail(options, context);
  const who = await whoOf(options, config, context);
  const time = context.clock();
  const explanation = explain(
    policies,
    { ...written, headers, src, time, mcp: messageOf(options, written, headers) },
    who,
  );
  context.out(options.json === true ? jsonText(explanation) : textOf(explanation, context.colours));
  return EXIT.fine;
}

/** What the body says to an MCP server, with the headers that each client sends, unless others are given. */
function messageOf(
  options: Options,
  { method }: { readonly method: string },
  headers: Readonly<Record<string, string>>,
) {
  const file = textOption(options, "body");
  const body = Buffer.from(file === undefined ? "" : read(file));
  const told = { "content-type": "application/json", "content-length": String(body.length), ...headers };
  return file === undefined && method === "POST" ? undefined : mcpMessageOf({ method, headers: told, body });
}

function headersOf(options: Options): Readonly<Record<string, string>> {
  const given = Array.isArray(options.header) ? options.header.map(String) : [];
  return Object.fromEntries(
    given.map((text) => {
      const [, name, value] = /^([^:\s]+):\s*(.*)$/.exec(text) ?? [];
      if (name === undefined || value === undefined)
        throw new UsageError(`--header: ${JSON.stringify(text)} is not "NAME: VALUE"`);
      return [name.toLowerCase(), value];
    }),
  );
}

const MARKS = { yes: "+", no: "-", note: " " } as const;
const COLOURS = { yes: "\u001b[32m", no: "\u001b[31m", note: "" } as const;

function textOf({ steps }: Explanation, colours: boolean): string {
  const line = ({ about, outcome, text }: Step) => {
    const plain = `${MARKS[outcome]} ${about.padEnd(10)}  ${text}`;
    return colours && COLOURS[outcome] !== "" ? `${COLOURS[outcome]}${plain}\u001b[0m` : plain;
  };
  return `${steps.map(line).join("\n")}\n`;
}
