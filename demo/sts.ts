import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AwsKey, signatureOf } from "./sigv4.ts";
import { STS_CERTIFICATE, STS_KEY } from "./sts-certificate.ts";

/** Keys by their id, and whom they belong to. */
export type Keys<Holder> = Map<string, { readonly key: AwsKey; readonly holder: Holder }>;

/** Why a request is nobody's. */
export type Refused = "bad-access-key" | "signature-expired" | "not-yet-current" | "signature-mismatch";

/** Whom a key belongs to. */
export interface Identity {
  readonly Account: string;
  readonly Arn: string;
  readonly UserId: string;
}

/**
 * A stand-in for AWS STS, since no AWS is asked here, behind a proxy by which every host leads to it.
 *
 * @param delay milliseconds that an answer takes
 * @returns what ends it
 */
export async function startSts(
  port: number,
  keys: Keys<Identity>,
  delay: () => number = () => 0,
): Promise<{ close(): Promise<void> }> {
  const listener: RequestListener = ({ method = "", url = "", headers }, response) => {
    const found = judge(method, url, headers, keys, Date.now());
    const [status, body] =
      typeof found === "string"
        ? [403, { Error: { Code: CODES[found], Message: found, Type: "Sender" } }]
        : [200, { GetCallerIdentityResponse: { GetCallerIdentityResult: found } }];
    response.writeHead(status, { "content-type": "application/json" });
    setTimeout(() => response.end(JSON.stringify(body)), delay());
  };
  const sts = createTlsServer({ key: STS_KEY, cert: STS_CERTIFICATE }, listener);
  const proxy = createServer();
  proxy.on("connect", (_request, socket) => {
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
    sts.emit("connection", socket);
  });
  await new Promise<void>((resolve, reject) => proxy.once("error", reject).listen(port, "127.0.0.1", resolve));
  return {
    async close() {
      const closed = new Promise((resolve) => proxy.close(resolve));
      proxy.closeAllConnections();
      sts.closeAllConnections();
      await closed;
    },
  };
}

const CODES: Readonly<Record<Refused, string>> = {
  "bad-access-key": "InvalidClientTokenId",
  "signature-expired": "SignatureDoesNotMatch",
  "not-yet-current": "SignatureDoesNotMatch",
  "signature-mismatch": "SignatureDoesNotMatch",
};

const MINUTE = 60_000;

/**
 * What STS says of a request: whose it is, or why nobody's. It checks the signature by AWS's specification of SigV4, over
 * what has arrived, and is as careless as AWS where AWS is: it does not hold anybody to `X-Amz-Expires`, nor to signing
 * any header but `host`.
 *
 * @param now milliseconds since the epoch
 */
export function judge<Holder>(
  method: string,
  target: string,
  headers: Readonly<Record<string, unknown>>,
  keys: Keys<Holder>,
  now: number,
): Holder | Refused {
  const { pathname, searchParams } = new URL(`https://sts${target}`);
  const parameters = [...searchParams];
  const get = (name: string) => searchParams.get(name) ?? "";
  const [id = "", day = "", region = "", service = ""] = get("X-Amz-Credential").split("/");
  const known = keys.get(id);
  if (known === undefined || (known.key.session ?? "") !== get("X-Amz-Security-Token")) return "bad-access-key";
  const at = Date.parse(get("X-Amz-Date").replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  if (now > at + 15 * MINUTE) return "signature-expired";
  if (at > now + 5 * MINUTE) return "not-yet-current";
  const names = get("X-Amz-SignedHeaders").split(";");
  if (!names.includes("host") || service !== "sts") return "signature-mismatch";
  const signature = signatureOf({
    method,
    path: pathname,
    parameters: parameters.filter(([name]) => name !== "X-Amz-Signature"),
    headers: names.map((name) => [name, String(headers[name] ?? "")]),
    scope: [day, region, service],
    date: get("X-Amz-Date"),
    secret: known.key.secret,
  });
  return signature === get("X-Amz-Signature") ? known.holder : "signature-mismatch";
}
