import { type Choice, KEY } from "../../demo/sigv4.ts";

/** The host of the good ones. */
export const HOST = "sts.us-west-2.amazonaws.com";
const OTHER_HEADER = { "x-vault-aws-iam-server-id": "ingress.example.com" };
const OURS = { "x-k8s-aws-id": "ingress.example.com" };

/** A token that AWS would take, or so somebody hopes, and why it is none here. `of` makes one; `url` changes its text. */
export type Attack = readonly [
  name: string,
  token: (of: (choice?: Partial<Choice>) => string, url: (change: (url: string) => string) => string) => string,
  reason: string,
  claim?: string,
];

const parameter = (name: string, value: string | undefined, reason = "token-malformed", claim = name): Attack => [
  `${name} ${value}`,
  (of) => of({ parameters: { [name]: value } }),
  reason,
  claim,
];
const text = (name: string, change: (url: string) => string, claim = "URL", reason = "token-malformed"): Attack => [
  name,
  (_, url) => url(change),
  reason,
  claim,
];
const host = (written: string, claim = "URL", reason = "token-malformed") =>
  text(`the host as ${JSON.stringify(written)}`, (url) => url.replace(HOST, written), claim, reason);

export const ATTACKS: readonly Attack[] = [
  ["longer than any", (of) => of({ key: { ...KEY, session: "A".repeat(2_700) } }), "token-too-large"],
  ["padding", (of) => `${of()}=`, "token-malformed"],
  ["a space", (of) => of().replace("v1.", "v1. "), "token-malformed"],
  ["a line feed", (of) => `${of()}\n`, "token-malformed"],
  ["what base64 passes over", (of) => of().replace("v1.aH", "v1.a!H"), "token-malformed"],
  [
    "base64 that is not base64url",
    (of) => of({ host: "sts.amazonaws.com", region: "us-east-1" }).replace("_", "/"),
    "token-malformed",
  ],
  ["bits that must be zero", (of) => twisted(of), "token-malformed"],
  ["nothing in it", () => "k8s-aws-v1.", "token-malformed", "URL"],
  host(HOST.toUpperCase()),
  host("STS.us-west-2.amazonaws.com"),
  host(`${HOST}:443`),
  host(`user@${HOST}`),
  host(`user:pass@${HOST}`),
  host(`${HOST}\\@evil.example`),
  host("%73ts.us-west-2.amazonaws.com"),
  host("\uff53\uff54\uff53.us-west-2.amazonaws.com"),
  host("\tsts.us-west-2.amazonaws.com"),
  host(`${HOST}\t.evil.example`),
  host(`/${HOST}`),
  host(`${HOST}.`, "host", "issuer-unknown"),
  host(`${HOST}.evil.example`, "host", "issuer-unknown"),
  host("evil.example", "host", "issuer-unknown"),
  host("127.0.0.1", "host", "issuer-unknown"),
  host("sts.us-west-2.api.aws", "host", "issuer-unknown"),
  host("sts-fips.us-west-2.amazonaws.com", "host", "issuer-unknown"),
  host("s3.us-west-2.amazonaws.com", "host", "issuer-unknown"),
  [
    "a region that is not listed",
    (of) => of({ host: "sts.eu-central-1.amazonaws.com", region: "eu-central-1" }),
    "issuer-unknown",
    "host",
  ],
  [
    "a region that is none",
    (of) => of({ host: "sts.not-a-region.amazonaws.com", region: "not-a-region" }),
    "issuer-unknown",
    "host",
  ],
  ["a name of every object", (of) => of({ host: "constructor" }), "issuer-unknown", "host"],
  text("http", (url) => url.replace("https:", "http:")),
  text("https in capitals", (url) => url.replace("https:", "HTTPS:")),
  text("without slashes", (url) => url.replace("https://", "https:")),
  text("a space before", (url) => ` ${url}`),
  text("a line feed behind", (url) => `${url}\n`),
  text("a fragment", (url) => `${url}#x`),
  text("no path", (url) => url.replace("/?", "?")),
  text("a path", (url) => url.replace("/?", "/x?")),
  text("a path that is none", (url) => url.replace("/?", "/./?")),
  text("an escaped path", (url) => url.replace("/?", "/%2e/?")),
  text("two slashes", (url) => url.replace("/?", "//?")),
  text("letters that are not ASCII", (url) => `${url}\u00e9`),
  text("a parameter that nobody knows", (url) => `${url}&Foo=1`, "query"),
  text("a parameter of another action", (url) => `${url}&DurationSeconds=900`, "query"),
  [
    "a signed parameter that nobody knows",
    (of) => of({ parameters: { "X-Amz-Content-Sha256": "x" } }),
    "token-malformed",
    "query",
  ],
  text("a credential twice", (url) => `${url}&X-Amz-Credential=${CREDENTIAL}`, "X-Amz-Credential"),
  text("a credential twice, in two cases", (url) => `${url}&x-amz-credential=${CREDENTIAL}`, "query"),
  text("a credential twice, the other first", (url) => url.replace("/?", `/?X-Amz-credential=${CREDENTIAL}&`), "query"),
  text("a credential twice, escaped", (url) => `${url}&X%2DAmz-Credential=${CREDENTIAL}`, "query"),
  text("a credential in another case", (url) => url.replace("X-Amz-Credential", "x-amz-credential"), "query"),
  text("an action twice", (url) => `${url}&Action=GetCallerIdentity`, "Action"),
  text("a signature twice", (url) => `${url}&X-Amz-Signature=${"0".repeat(64)}`, "X-Amz-Signature"),
  text("a name of every object", (url) => `${url}&__proto__=x`, "query"),
  text("a parameter without value", (url) => `${url}&Foo`, "query"),
  text("a parameter with two values", (url) => url.replace("Version=2011-06-15", "Version=2011-06-15=2"), "query"),
  text("an empty parameter", (url) => url.replace("&", "&&"), "query"),
  text("semicolons between", (url) => url.replace("&", ";")),
  text("escapes in lower case", (url) => url.replaceAll("%2F", "%2f"), "X-Amz-Credential"),
  text("a needless escape", (url) => url.replace("GetCaller", "%47etCaller"), "Action"),
  text("an escape that is none", (url) => url.replace("GetCaller", "%zzetCaller"), "Action"),
  text("an escaped line feed", (url) => url.replace("GetCallerIdentity", "GetCallerIdentity%0A"), "Action"),
  text("an escape that is not ASCII", (url) => url.replace("GetCallerIdentity", "GetCallerIdentity%C3%A9"), "Action"),
  text("a plus", (url) => url.replace("GetCallerIdentity", "Get+CallerIdentity")),
  ...["Action", "Version", "X-Amz-Algorithm", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"].map((name) =>
    parameter(name, undefined),
  ),
  text("no credential", (url) => url.replace(/X-Amz-Credential=[^&]*&/, ""), "X-Amz-Credential"),
  text("no signature", (url) => url.replace(/&X-Amz-Signature=.*/, ""), "X-Amz-Signature"),
  parameter("Action", "AssumeRole"),
  parameter("Action", "GetSessionToken"),
  parameter("Action", "getcalleridentity"),
  parameter("Action", "GetCallerIdentityX"),
  parameter("Version", "2012-01-01"),
  parameter("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256", "algorithm-refused"),
  parameter("X-Amz-Algorithm", "none", "algorithm-refused"),
  ["another service", (of) => of({ service: "iam" }), "token-malformed", "X-Amz-Credential"],
  ["another region than the host's", (of) => of({ region: "us-east-1" }), "token-malformed", "X-Amz-Credential"],
  [
    "the global host for another region",
    (of) => of({ host: "sts.amazonaws.com" }),
    "token-malformed",
    "X-Amz-Credential",
  ],
  [
    "another day than its date's",
    (of) => of({ parameters: { "X-Amz-Credential": `${KEY.id}/20200101/us-west-2/sts/aws4_request` } }),
    "token-malformed",
    "X-Amz-Credential",
  ],
  parameter("X-Amz-Credential", `${KEY.id}/20200101/us-west-2/sts`),
  parameter("X-Amz-Credential", `${KEY.id}/x/20200101/us-west-2/sts/aws4_request`),
  parameter("X-Amz-Credential", `akia/20200101/us-west-2/sts/aws4_request`),
  parameter("X-Amz-Date", "2026-11-28T01:57:34Z"),
  parameter("X-Amz-Date", "20261128T015734z"),
  ...["20260230T000000Z", "20261301T000000Z", "20261128T240000Z", "20261128T006000Z"].map(
    (date): Attack => [
      `the date ${date}`,
      (of) =>
        of({
          parameters: {
            "X-Amz-Date": date,
            "X-Amz-Credential": `${KEY.id}/${date.slice(0, 8)}/us-west-2/sts/aws4_request`,
          },
        }),
      "token-malformed",
      "X-Amz-Date",
    ],
  ),
  ...["901", "999", "86400", "-1", "060", "1e2", "6.0", ""].map((expires) => parameter("X-Amz-Expires", expires)),
  parameter("X-Amz-Security-Token", "a b"),
  parameter("X-Amz-Security-Token", ""),
  ["signed for nobody", (of) => of({ headers: {} }), "audience-not-accepted", "X-Amz-SignedHeaders"],
  [
    "signed for another kind of service",
    (of) => of({ headers: OTHER_HEADER }),
    "audience-not-accepted",
    "X-Amz-SignedHeaders",
  ],
  [
    "one more signed header",
    (of) => of({ headers: { ...OURS, accept: "application/json" } }),
    "token-malformed",
    "X-Amz-SignedHeaders",
  ],
  [
    "one more signed header, of AWS",
    (of) => of({ headers: { ...OURS, "x-amz-mallory": "1" } }),
    "token-malformed",
    "X-Amz-SignedHeaders",
  ],
  parameter("X-Amz-SignedHeaders", "x-k8s-aws-id"),
  parameter("X-Amz-SignedHeaders", "x-k8s-aws-id;host"),
  parameter("X-Amz-SignedHeaders", "host;host;x-k8s-aws-id"),
  parameter("X-Amz-SignedHeaders", "Host;X-K8s-Aws-Id"),
  text(
    "a signature in capitals",
    (url) => url.replace(/[0-9a-f]{64}$/, (hex) => hex.toUpperCase().replace(/^\d/, "A")),
    "X-Amz-Signature",
  ),
  text("a short signature", (url) => url.slice(0, -1), "X-Amz-Signature"),
];

const CREDENTIAL = "AKIAI44QH8DHBEXAMPLE%2F20261128%2Fus-west-2%2Fsts%2Faws4_request";

/** The same bytes with another last character. */
function twisted(of: (choice?: Partial<Choice>) => string): string {
  const token = ["6", "60", "600"]
    .map((expires) => of({ parameters: { "X-Amz-Expires": expires } }))
    .find((each) => (each.length - "k8s-aws-v1.".length) % 4 !== 0);
  if (token === undefined) throw new Error("none has bits to spare");
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return token.slice(0, -1) + letters[letters.indexOf(token.slice(-1)) + 1];
}
