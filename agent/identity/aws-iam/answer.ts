import type { HttpAnswer } from "../../http/fetch.ts";
import { parseObject } from "../../http/json.ts";
import type { Unproven } from "../issuer/issuer.ts";

/** Whom STS says that a request was signed by. */
export interface Caller {
  readonly account: string;
  /** As STS has it: of a role its session. */
  readonly arn: string;
  readonly userId: string;
}

/**
 * What an answer of STS came to. It can be `undecided` for this request, such as for being asked too often for its
 * account; an `error` is one whoever is asked for. Both say nothing of who it is.
 */
export type Answer =
  | { readonly caller: Caller }
  | { readonly refusal: Unproven }
  | { readonly undecided: string }
  | { readonly error: string };

/** The statuses of answers that say something. */
export const READ_STATUSES: readonly number[] = [200, 400, 403];

/**
 * What STS says of a request that proves nobody. Every other word of it is undecided: of throttling it says so with a
 * status, 400, that elsewhere is the client's fault.
 */
const REFUSALS: Readonly<Record<string, Unproven>> = {
  SignatureDoesNotMatch: { reason: "signature-invalid", lasting: true },
  IncompleteSignature: { reason: "signature-invalid", lasting: true },
  MissingAuthenticationToken: { reason: "signature-invalid", lasting: true },
  InvalidClientTokenId: { reason: "key-unknown", lasting: true },
  ExpiredToken: { reason: "token-expired", lasting: true },
};

/**
 * Reads what STS has answered, in JSON or XML: the whole text must be what it is, member by member. Whoever looks for a
 * part of it finds what somebody else has put there (CVE-2020-16250).
 */
export function readAnswer({ status, headers, body }: HttpAnswer): Answer {
  const type = (headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase();
  const read = type === "application/json" ? readJson : type === "text/xml" ? readXml : undefined;
  const { caller, code } = read?.(body) ?? {};
  if (status === 200 && caller !== undefined) return { caller };
  if (status === 200) return { error: "the answer is not one to GetCallerIdentity" };
  if (code === undefined) return status === 429 ? { undecided: "status 429" } : { error: `status ${status}` };
  const refusal = Object.hasOwn(REFUSALS, code) ? REFUSALS[code] : undefined;
  return refusal === undefined ? { undecided: `status ${status}, ${code}` } : { refusal };
}

interface Read {
  readonly caller?: Caller | undefined;
  readonly code?: string | undefined;
}

function readJson(body: Buffer): Read {
  const whole = parseObject(body);
  const result = memberOf(memberOf(whole, "GetCallerIdentityResponse"), "GetCallerIdentityResult");
  const error = memberOf(whole, "Error");
  return { caller: callerOf(result ?? {}), code: codeOf(error?.Code) };
}

type Members = Readonly<Record<string, unknown>>;

function memberOf(value: Members | undefined, name: string): Members | undefined {
  const member = value?.[name];
  return typeof member === "object" && member !== null && !Array.isArray(member) ? (member as Members) : undefined;
}

function callerOf({ Account, Arn, UserId }: Members): Caller | undefined {
  const [account, arn, userId] = [textOf(Account), textOf(Arn), textOf(UserId)];
  return account === undefined || arn === undefined || userId === undefined ? undefined : { account, arn, userId };
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function codeOf(value: unknown): string | undefined {
  return typeof value === "string" && CODE.test(value) ? value : undefined;
}

const CODE = /^[\w.]{1,64}$/;
const XMLNS = 'xmlns="https://sts\\.amazonaws\\.com/doc/2011-06-15/"';
const REQUEST_ID = "<RequestId>[\\w-]{1,64}</RequestId>";
// Nothing can stand in another, and nothing beside them: an element's text holds neither `<` nor `&`.
const MEMBER = "<(Arn|UserId|Account)>([^<>&]{1,1024})</(Arn|UserId|Account)>";
const CALLER = documentOf(
  `<GetCallerIdentityResponse ${XMLNS}>`,
  "<GetCallerIdentityResult>",
  ...[MEMBER, MEMBER, MEMBER],
  "</GetCallerIdentityResult>",
  "<ResponseMetadata>",
  REQUEST_ID,
  "</ResponseMetadata>",
  "</GetCallerIdentityResponse>",
);
const ERROR = documentOf(
  `<ErrorResponse ${XMLNS}>`,
  "<Error>",
  "<Type>\\w{1,32}</Type>",
  "<Code>([\\w.]{1,64})</Code>",
  "<Message>[^<>]{0,4096}</Message>",
  "</Error>",
  REQUEST_ID,
  "</ErrorResponse>",
);

/** Blanks are taken between parts alone: beside others of a part's own, a text of nothing else would take ages. */
function documentOf(...parts: readonly string[]): RegExp {
  return new RegExp(`^(?:<\\?xml [^<>]{1,64}\\?>)?\\s*${parts.join("\\s*")}\\s*$`);
}

function readXml(body: Buffer): Read {
  const text = body.toString("latin1");
  const [, ...parts] = CALLER.exec(text) ?? [];
  const members = [0, 3, 6].map((at) => parts.slice(at, at + 3));
  const named = Object.fromEntries(members.flatMap(([name, value, end]) => (name === end ? [[name, value]] : [])));
  return { caller: callerOf(named), code: ERROR.exec(text)?.[1] };
}
