import { type Arn, permissionSetOf, provenArn, readArn } from "../../../policies/arn.ts";
import type { Kind, Principal } from "../../../policies/principal.ts";
import { Unknown } from "../../../policies/unknown.ts";
import type { Refusal } from "../issuer/refusal.ts";
import type { Caller } from "./answer.ts";
import type { Presigned } from "./presigned.ts";
import type { AwsIamIssuer } from "./section.ts";

/** Claims that whoever takes a role has chosen, or that hold what he has. They tell one session from another, no more. */
export const LABELS: readonly string[] = ["arn", "session_name", "user_id"];

const SESSION = /^arn:([a-z-]+):sts::(\d{12}):assumed-role\/([\w+=,.@-]{1,64})\/([!-.0-~]{1,128})$/;
/** Whoever these are, they are not the role or user that a policy could mean: a name that is given away, the account itself. */
const OTHERS = /^arn:[a-z-]+:(?:sts::\d{12}:federated-user\/[!-~]{1,128}|iam::\d{12}:root)$/;
const ID = /^[A-Z0-9]{16,128}$/;

/** What STS has said, where it cannot be so. */
export interface Contradiction {
  readonly error: string;
}

/** A role or user, and how it came. */
interface Party {
  readonly arn: Arn;
  /** AWS's own for the role or user, which no other of its name has after it. */
  readonly id: string;
  readonly session: string | undefined;
}

/** The principal that STS proves, a refusal of somebody who is not taken, or what contradicts itself in it. */
export function principalOf(
  caller: Caller,
  issuer: AwsIamIssuer,
  { accessKeyId, signedAt }: Presigned,
): Principal | Refusal | Contradiction {
  if (OTHERS.test(caller.arn)) return { reason: "identity-not-accepted", claim: "Arn" };
  const party = partyOf(caller);
  if (party === undefined) return { error: "the answer names nobody" };
  const { arn, id, session } = party;
  if (arn.account !== caller.account) return { error: "the answer names two accounts" };
  if (arn.partition !== issuer.arns.partition) return { error: "the answer names another partition" };
  if (!issuer.arns.accounts.includes(arn.account)) return { reason: "identity-not-accepted", claim: "Account" };
  const permissionSet = permissionSetOf(arn);
  const claims = {
    arn: caller.arn,
    account: arn.account,
    user_id: caller.userId,
    unique_id: id,
    access_key_id: accessKeyId,
    ...(session === undefined ? {} : { session_name: session }),
    ...(permissionSet === undefined ? {} : { permission_set: permissionSet }),
  };
  return Object.freeze({
    issuer: issuer.name,
    // Identity Center names its sessions itself, after who has logged in. Every other session has the name it chose.
    subject: permissionSet === undefined ? provenArn(arn) : caller.arn,
    kind: kindOf(arn, permissionSet),
    groups: NONE,
    scopes: NONE,
    audiences: Object.freeze([...issuer.audiences]),
    claims: Object.freeze(claims),
    client: undefined,
    actor: NOBODY,
    arn: provenArn(arn),
    uri: undefined,
    authenticatedAt: signedAt,
    expiresAt: signedAt + issuer.maxAge,
    bound: "",
  });
}

const NONE: readonly string[] = Object.freeze([]);
const NOBODY: Principal["actor"] = Object.freeze([]);

function kindOf({ kind }: Arn, permissionSet: string | undefined): Kind | Unknown {
  if (kind === "user") return new Unknown("arn", "a user of IAM, which may be a person or a program");
  return permissionSet === undefined ? "workload" : "person";
}

function partyOf({ arn, userId }: Caller): Party | undefined {
  const [, partition, account, name, session] = SESSION.exec(arn) ?? [];
  if (partition === undefined) return userOf(arn, userId);
  const role = readArn(`arn:${partition}:iam::${account}:role/${name}`);
  const [id = "", ...rest] = userId.split(":");
  return role === undefined || !ID.test(id) || rest.join(":") !== session ? undefined : { arn: role, id, session };
}

function userOf(text: string, id: string): Party | undefined {
  const arn = readArn(text);
  return arn?.kind === "user" && ID.test(id) ? { arn, id, session: undefined } : undefined;
}
