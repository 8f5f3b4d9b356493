import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { json } from "node:stream/consumers";
import type { Test } from "tap";

/** A span as it came, its attributes by their names. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly status: { readonly code?: number };
  readonly resource: Readonly<Record<string, unknown>>;
}

/** What OTLP's JSON has of each message (opentelemetry-proto 1.x), and how a value looks. */
const HEX = (length: number) => new RegExp(`^[0-9a-f]{${length}}$`);
const NANOS = /^\d{19}$/;
const MEMBERS: Readonly<Record<string, Readonly<Record<string, RegExp | "any">>>> = {
  request: { resourceSpans: "any" },
  resourceSpans: { resource: "any", scopeSpans: "any", schemaUrl: /^https:/ },
  scopeSpans: { scope: "any", spans: "any", schemaUrl: /^https:/ },
  span: {
    traceId: HEX(32),
    spanId: HEX(16),
    parentSpanId: HEX(16),
    flags: /^\d+$/,
    name: /./,
    kind: /^[0-5]$/,
    startTimeUnixNano: NANOS,
    endTimeUnixNano: NANOS,
    attributes: "any",
    status: "any",
  },
};

type Json = Readonly<Record<string, never>>;

/** A collector of traces, OTLP over HTTP, that holds what comes to the protocol. It ends with the test. */
export async function collector(t: Test) {
  const spans: ReceivedSpan[] = [];
  const requests: { readonly headers: IncomingHttpHeaders; readonly url: string; readonly spans: number }[] = [];
  const answers: { status: number; body: string; headers?: Record<string, string> }[] = [];
  let told = Promise.withResolvers<void>();
  const server = createServer(async (request, response) => {
    const got = received((await json(request)) as Json);
    const { status, body, headers } = answers.shift() ?? { status: 200, body: '{"partialSuccess":{}}' };
    if (status < 300) spans.push(...got);
    requests.push({ headers: request.headers, url: request.url ?? "", spans: got.length });
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
    told.resolve();
    told = Promise.withResolvers();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close().closeAllConnections());
  const { port } = server.address() as { port: number };
  return {
    endpoint: `http://127.0.0.1:${port}/v1/traces`,
    spans,
    requests,
    /** What the next requests are answered with; default: 200 */
    answers,
    /** Settles once it holds. */
    async until(holds: () => boolean): Promise<void> {
      while (!holds()) await told.promise;
    },
  };
}

function received(request: Json): readonly ReceivedSpan[] {
  return list(checked("request", request), "resourceSpans").flatMap((resourceSpans) =>
    list(checked("resourceSpans", resourceSpans), "scopeSpans").flatMap((scopeSpans) =>
      list(checked("scopeSpans", scopeSpans), "spans").map((span) => ({
        ...(checked("span", span) as unknown as ReceivedSpan),
        attributes: valuesOf(span),
        resource: valuesOf(resourceSpans.resource as unknown as Json),
      })),
    ),
  );
}

function checked(message: keyof typeof MEMBERS, value: Json): Json {
  const members = MEMBERS[message] ?? {};
  for (const [name, member] of Object.entries(value)) {
    const pattern = members[name];
    if (pattern === undefined) throw new Error(`${message} has no ${name}`);
    if (pattern !== "any" && !pattern.test(String(member))) throw new Error(`${message}.${name}: ${member}`);
  }
  return value;
}

function list(value: Json, name: string): readonly Json[] {
  return (value[name] ?? []) as readonly Json[];
}

/** KeyValue, each with the one member of AnyValue that fits it. */
function valuesOf(value: Json): Readonly<Record<string, unknown>> {
  const entries = list(value, "attributes").map(({ key, value }) => {
    const [type, content] = (Object.entries((value ?? {}) as object) as [string, unknown][])[0] ?? ["nothing", ""];
    if (type === "stringValue" && typeof content === "string") return [key, content];
    if (type === "boolValue" && typeof content === "boolean") return [key, content];
    if (type === "intValue" && typeof content === "string" && /^\d+$/.test(content)) return [key, Number(content)];
    throw new Error(`${key}: ${type} ${content}`);
  });
  if (new Set(entries.map(([key]) => key)).size < entries.length) throw new Error("an attribute stands twice");
  return Object.fromEntries(entries);
}
