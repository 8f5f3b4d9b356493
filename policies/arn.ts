/** Who an ARN names, among those that can be proven to be somebody: an AWS role or user. */
export interface Arn {
  /** `aws`, `aws-cn`, … */
  readonly partition: string;
  /** 12 digits. */
  readonly account: string;
  readonly kind: "role" | "user";
  /** What stands before the name, such as `division/`; empty where there is none. */
  readonly path: string;
  readonly name: string;
}

const ARN = /^arn:(aws(?:-[a-z]+){0,3}):iam::(\d{12}):(role|user)\/((?:[!-.0-~]+\/){0,64})([\w+=,.@-]{1,64})$/;
const LONGEST = 1024;
const SESSION = /^arn:(aws[a-z-]*):sts::([^:]*):assumed-role\/([^/]*)/;
/** The role that IAM Identity Center makes of a permission set, in each account with another ending. */
const PERMISSION_SET = /^AWSReservedSSO_([\w+=,.@-]{1,32})_[0-9a-f]{16}$/;

/** A mistake in an ARN that a policy names. */
export interface ArnFault {
  readonly found: string;
  readonly right: string;
}

/** Reads the ARN of a role or user; undefined for everything else. */
export function readArn(text: string): Arn | undefined {
  const [, partition, account, kind, path, name] = (text.length <= LONGEST && ARN.exec(text)) || [];
  if (partition === undefined || account === undefined || path === undefined || name === undefined) return undefined;
  return { partition, account, kind: kind === "role" ? "role" : "user", path, name };
}

/** As AWS proves it: the ARN of a session tells its role without the path. */
export function provenArn({ partition, account, kind, path, name }: Arn): string {
  return `arn:${partition}:iam::${account}:${kind}/${kind === "role" ? "" : path}${name}`;
}

/** The permission set of IAM Identity Center whose role this is; undefined where it is none. */
export function permissionSetOf({ kind, path, name }: Arn): string | undefined {
  return kind === "role" && path === "" ? PERMISSION_SET.exec(name)?.[1] : undefined;
}

/** Why a policy cannot mean a role or user by a text. */
export function arnFault(text: string): ArnFault | undefined {
  if (readArn(text) !== undefined) return undefined;
  const [, partition, account, role] = SESSION.exec(text) ?? [];
  if (role === undefined) {
    return {
      found: JSON.stringify(text),
      right: "the ARN of a role or user, such as arn:aws:iam::123456789012:role/reporting",
    };
  }
  const right = `the role, \`arn:${partition}:iam::${account}:role/${role}\`: who takes it chooses the session's name`;
  return { found: "the ARN of a session", right };
}
