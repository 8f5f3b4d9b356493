import { parseObject } from "../../../agent/http/json.ts";
import { readAnswer } from "../../../agent/identity/aws-iam/answer.ts";
import { endpointsOf } from "../../../agent/identity/aws-iam/endpoints.ts";
import { readPresigned, timesFault } from "../../../agent/identity/aws-iam/presigned.ts";
import { KEY, presign, SESSION_KEY, tokenOf } from "../../../demo/sigv4.ts";
import { HOST } from "../../identity/aws-attacks.ts";
import RESPONSES from "../../vectors/aws/sts-responses.json" with { type: "json" };
import { mutatedJson, mutatedText, spelled } from "../mutate.ts";
import { hold, type Target } from "../target.ts";

const AT = Date.UTC(2026, 10, 28);
const EXPECTED = { endpoints: endpointsOf(["us-west-2"], ["regional"]), header: "x-k8s-aws-id" };
const URLS = [KEY, SESSION_KEY].map((key) => presign({ at: AT, key }));
const WORDS = [
  "&",
  "=",
  "%2F",
  "%2f",
  "%20",
  "+",
  "@",
  ":443",
  "\\",
  "/",
  "?",
  "#",
  "..",
  "X-Amz-Date=",
  "Action=GetCallerIdentity",
  "x-amz-date",
  "https://",
  ";host",
  "sts.us-west-2.amazonaws.com",
  "evil.example",
  "A".repeat(60),
];

export const AWS_TOKENS: Target = {
  name: "aws-tokens",
  oracle:
    "Signed GetCallerIdentity requests: what is sent to STS is, to the URL standard's parser, exactly what the token says, to the one host, each parameter once; nobody is believed before or after its time",
  tested: 10_000,
  share: 800,
  reaches: ["sent", "token-malformed", "issuer-unknown"],
  open: () => ({
    input(random) {
      const url = mutatedText(random.pick(URLS), random, { others: URLS, words: WORDS });
      if (random.once(8))
        return Buffer.from(mutatedText(tokenOf(url), random, { words: ["=", "k8s-aws-v1.", "-", "/"], most: 2 }));
      return Buffer.from(tokenOf(random.once(4) ? random.pick(URLS) : url));
    },
    check(input) {
      const token = input.toString("latin1");
      const read = readPresigned(token, EXPECTED);
      if ("reason" in read) return read.reason;
      const said = Buffer.from(token.slice(token.indexOf(".") + 1), "base64url").toString("latin1");
      hold(
        `k8s-aws-v1.${Buffer.from(said, "latin1").toString("base64url")}` === token,
        "another spelling of the token",
      );
      const url = URL.parse(said);
      const sorted = (text: string) =>
        text
          .slice(text.indexOf("?") + 1)
          .split("&")
          .sort()
          .join("&");
      hold(url?.origin === `https://${HOST}` && read.url.origin === url.origin, "another host is asked");
      hold(
        sorted(read.url.href) === sorted(said) && read.url.pathname === "/" && read.url.hash === "",
        "it is asked for something else",
      );
      const names = [...new URL(said).searchParams.keys()];
      hold(new Set(names.map((name) => name.toLowerCase())).size === names.length, "a parameter twice");
      hold(
        new URL(said).searchParams.get("X-Amz-SignedHeaders")?.split(";").includes(EXPECTED.header) === true,
        "not signed for us",
      );
      const times = { maxAge: 900_000, clockTolerance: 30_000 };
      hold(timesFault(read.signedAt, times, read.signedAt + 900_000) !== undefined, "believed after its time");
      hold(timesFault(read.signedAt, times, read.signedAt - 30_001) !== undefined, "believed before its time");
      return "sent";
    },
  }),
};

interface Recorded {
  readonly json?: unknown;
  readonly xml?: string;
}

const ANSWERS = Object.values(RESPONSES as unknown as Readonly<Record<string, Recorded>>).filter(
  (each) => typeof each === "object",
);
const XML = ANSWERS.flatMap(({ xml = [] }) => xml);
const ELEMENTS = [
  "<Arn>",
  "</Arn>",
  "<Account>",
  "<UserId>x</UserId>",
  "</GetCallerIdentityResult>",
  "<!--",
  "-->",
  "<![CDATA[",
  "]]>",
  "&amp;",
  "&#65;",
  " ".repeat(300),
  "\n",
  '<?xml version="1.0"?>',
  "arn:aws:iam::123456789012:root",
];

export const STS_ANSWERS: Target = {
  name: "sts-answers",
  oracle:
    "Answers of STS, JSON and XML: a caller has the very account, ARN and id that stand once in the text and, for JSON, that JSON.parse finds at their places; every other status than 200 names nobody",
  tested: 10_000,
  share: 500,
  reaches: ["caller", "refusal", "undecided", "error"],
  open: () => ({
    /** The first octet says which status, which type, and the rest is the body. */
    input(random) {
      const xml = random.once(2);
      const head = Buffer.of((xml ? 1 : 0) + 2 * random.below(8));
      const { json = {} } = random.pick(ANSWERS);
      const body = xml
        ? random.once(3)
          ? random.pick(XML)
          : mutatedText(random.pick(XML), random, { others: XML, words: ELEMENTS })
        : spelled(random.once(3) ? json : mutatedJson(json, random), random);
      return Buffer.concat([head, Buffer.from(body)]);
    },
    check(input) {
      const [head = 0] = input;
      const body = input.subarray(1);
      const status = [200, 200, 200, 403, 400, 429, 500, 301][head >> 1] ?? 200;
      const headers = { "content-type": head & 1 ? "text/xml" : "application/json; charset=utf-8" };
      const answer = readAnswer({ status, headers, body });
      if (!("caller" in answer)) return Object.keys(answer)[0] ?? "nothing";
      hold(status === 200, "somebody is named by an error");
      const { account, arn, userId } = answer.caller;
      hold(account !== "" && arn !== "" && userId !== "", "a part is empty");
      if (head & 1) {
        const text = body.toString("latin1");
        for (const [name, value] of [
          ["Account", account],
          ["Arn", arn],
          ["UserId", userId],
        ] as const) {
          hold(text.split(`<${name}>${value}</${name}>`).length === 2, () => `${name} stands otherwise in the text`);
          hold(text.split(`<${name}>`).length === 2, () => `${name} stands there more than once`);
        }
        hold(!/<!|&/.test(text), "a comment or an entity was passed over");
      } else {
        hold(parseObject(body) !== undefined, "JSON that can be read in two ways");
        const { GetCallerIdentityResponse: response } = JSON.parse(body.toString());
        const { Account, Arn, UserId } = response.GetCallerIdentityResult;
        hold(Account === account && Arn === arn && UserId === userId, "JSON.parse finds somebody else");
      }
      return "caller";
    },
  }),
};
