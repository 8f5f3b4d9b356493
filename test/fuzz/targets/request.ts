import { authorize } from "../../../agent/answer/authorize.ts";
import { type AuthorizeRequest, LARGEST_ID, RequestReader } from "../../../agent/answer/request.ts";
import { type Asker, Waiting } from "../../../agent/answer/waiting.ts";
import { contractText, parseContract } from "../../../haproxy/contract.ts";
import { decodeNotify, type Message, NotifyCursor } from "../../../protocol/decode.ts";
import { encodeFrame, encodeMessages } from "../../../protocol/encode.ts";
import { SpopError } from "../../../protocol/errors.ts";
import { FrameDecoder } from "../../../protocol/frame-decoder.ts";
import { FRAME_TYPE } from "../../../protocol/spop.ts";
import type { Value } from "../../../protocol/value.ts";
import { argumentsFor, CONFIG, IDENTITY, snapshotOf } from "../../support/agent.ts";
import { policiesFrom } from "../../support/policies.ts";
import { mutatedBytes, mutatedText } from "../mutate.ts";
import type { Random } from "../random.ts";
import { hold, type Target } from "../target.ts";

const POLICIES = policiesFrom(
  `roles:
  reader: [{ issuer: idp, group: Orders Readers }]
services:
  orders:
    hosts: [orders.example.com]
    backend: orders
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: read, match: ["GET /v1/orders", "GET /v1/orders/{id}"], allow: [reader] }
      - { name: tenant, match: ["GET /v1/tenants/{path...}"], allow: [reader], when: 'request.headers["x-tenant"] == "emea"' }
`,
  { issuers: [{ name: "idp", audiences: ["api://orders"], credentials: ["bearer"], kinds: undefined }] },
);
const SNAPSHOT = snapshotOf(POLICIES, IDENTITY, { limits: { ...CONFIG.limits, token: 4096 } });
const ASKER: Asker = { limit: 16_384, left: 16_384, gone: false, admits: () => true, waiting: new Waiting() };

const WORDS = [
  "Bearer ",
  "bearer alice",
  "alice",
  "Bearer\talice",
  "Basic x",
  "/v1/orders",
  "/v1/orders/1",
  "GET",
  "1:subject",
  ":h_x-auth-subject",
  "orders.example.com",
  "emea",
];
const NAMES = [
  "id",
  "src",
  "tls",
  "method",
  "host",
  "path",
  "query",
  "authorization",
  "contract",
  "h_x-tenant",
  "session",
  "dpop",
  "cert",
  "x",
];

/** One request, most of it good: what is wrong is one thing or two. */
function messagesOf(random: Random): readonly Message[] {
  const path = random.pick(["/v1/orders", "/v1/orders/42", "/v1/tenants/a", "/v1/none"]);
  const args = argumentsFor({
    path,
    "h_x-tenant": random.pick(["emea", "apac", null]),
    query: null,
    authorization: random.pick(["Bearer alice", "bearer  alice", "Bearer mallory", null]),
  });
  for (let n = random.below(4); n > 0; n--) {
    const at = random.below(args.length);
    const argument = args[at];
    if (argument === undefined) continue;
    const value = changed(argument.value, random);
    const what = random.below(8);
    if (what === 0) args.splice(at, 1);
    else if (what === 1) args.push({ name: random.pick(NAMES), value });
    else args[at] = { name: random.once(10) ? random.pick(NAMES) : argument.name, value };
  }
  const message = { name: random.once(30) ? "other" : "authorize", args };
  return random.once(40) ? [message, message] : [message];
}

function changed(value: Value, random: Random): Value {
  if (random.once(8))
    return random.pick<Value>([{ type: "null" }, { type: "int64", value: 0n }, { type: "bool", value: true }]);
  if (value.type === "string" && random.once(6)) return { type: "binary", value: Buffer.from(value.value) };
  return value.type === "string"
    ? { type: "string", value: mutatedText(value.value, random, { words: WORDS, most: 2 }) }
    : value;
}

/** What a request must be to be let in, told by nothing that is tested here but the decoder. */
function isGood(messages: readonly Message[]): boolean {
  const [message, more] = messages;
  if (message?.name !== "authorize" || more !== undefined) return false;
  const text = (name: string) => {
    // Of two with one name the last text counts.
    const found = message.args.filter((argument) => argument.name === name && argument.value.type === "string").at(-1);
    return found?.value.type === "string" ? found.value.value : undefined;
  };
  const contract = text("contract")?.split(":") ?? [];
  const [path = "", method] = [text("path"), text("method")];
  const ids = message.args.filter(
    ({ name, value }) =>
      name === "id" && value.type === "string" && Buffer.byteLength(String(value.value)) <= LARGEST_ID,
  );
  const routed =
    /^\/v1\/orders(?:\/[^/?#]+)?$/.test(path) || (path.startsWith("/v1/tenants") && text("h_x-tenant") === "emea");
  const credentials = message.args.filter(
    ({ name, value }) => name === "authorization" && value.type === "string" && value.value !== "",
  );
  return (
    ids.some(({ value }) => value.value !== "") &&
    contract[0] === "1" &&
    contract.includes("h_x-auth-subject") &&
    text("host")?.toLowerCase().replace(/:\d+$/, "") === "orders.example.com" &&
    (method === "GET" || method === "HEAD") &&
    routed &&
    credentials.some(({ value }) => /^bearer +alice$/i.test(String(value.value)))
  );
}

export const REQUEST: Target = {
  name: "request",
  oracle:
    "NOTIFYs from arguments to verdict, by a reader that remembers the ones before: fields are what the decoder reads, a fresh reader reads the same, and allow is said to nobody but a request that an independent reading finds good",
  tested: 6_000,
  share: 400,
  reaches: ["allow", "deny"],
  open() {
    const warm = new RequestReader(new NotifyCursor());
    return {
      input(random) {
        const payload = encodeMessages(messagesOf(random));
        return random.once(4) ? mutatedBytes(payload, random) : payload;
      },
      check(input) {
        let word = "no frame";
        new FrameDecoder(1 << 24).push(encodeFrame(FRAME_TYPE.notify, input), (frame) => {
          let messages: readonly Message[] = [];
          try {
            messages = decodeNotify(frame);
          } catch (error) {
            if (!(error instanceof SpopError)) throw error;
          }
          const fresh = viewOf(new RequestReader(new NotifyCursor()).read(frame));
          const request = warm.read(frame);
          hold(viewOf(request) === fresh, "a reader that has read others reads it otherwise");
          const answer = authorize(request, SNAPSHOT, 0, ASKER);
          hold(!(answer instanceof Promise), "it waits for nothing");
          const { verdict, reason } = answer.decision;
          hold(reason !== "agent-error", () => `agent-error: ${(answer.thrown as Error).stack}`);
          hold(verdict !== "allow" || isGood(messages), () => `let in: ${JSON.stringify(messages, plain)}`);
          word = verdict;
          held(request);
        });
        return word;
      },
    };
  },
};

/** The contract that a request comes with is the text it was read from. */
function held({ channel }: AuthorizeRequest): void {
  const { contract } = channel;
  hold(parseContract(contractText(contract)) !== undefined, "a contract that was read cannot be read again");
}

function viewOf(request: AuthorizeRequest): string {
  const { fault, tls, method, host, path, query, headers, id, src, channel, offered } = request;
  return JSON.stringify([
    fault,
    tls,
    method,
    host,
    path,
    query,
    headers,
    id,
    src,
    contractText(channel.contract),
    offered,
  ]);
}

function plain(_name: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
