import {
  type Condition,
  CREDENTIAL_KINDS,
  type CredentialKind,
  type CredentialName,
  credentialKind,
  kindsOf,
} from "../../haproxy/credentials.ts";
import { isPlacedArgument } from "../../haproxy/places.ts";
import type { Reason } from "../../policies/decision.ts";
import { BOOL_TRUE, VALUE_TYPE } from "../../protocol/spop.ts";
import { contentStart } from "../../protocol/value.ts";
import type { TokenBytes } from "../identity/jwt/token.ts";

/** What a request offers as proof of who sent it: nothing, one credential of a kind, or something that cannot be one. */
export type Credential =
  | { readonly kind: "none" }
  | ({ readonly kind: CredentialName } & TokenBytes)
  | { readonly kind: "invalid"; readonly reason: Reason };

const NONE: Credential = { kind: "none" };
const MALFORMED: Credential = { kind: "invalid", reason: "credential-malformed" };
const TOO_LARGE: Credential = { kind: "invalid", reason: "token-too-large" };
const TWO: Credential = { kind: "invalid", reason: "duplicate" };

/** Whether an argument carries a credential, or says something of one. */
export function isCredentialArgument(name: string): boolean {
  const isOf = ({ argument, parts = [], conditions = [] }: CredentialKind) =>
    argument === name || [...parts, ...conditions].some((each) => each.argument === name);
  return isPlacedArgument(name) || CREDENTIAL_KINDS.some(isOf);
}

/** What a request has in such arguments. */
export interface Offered {
  readonly bytes: Buffer;
  /** Three numbers of each that is there: which argument of the message it is, start and end of its typed value. */
  readonly offered: readonly number[];
}

/** What a request has that offers nothing. */
export const NOTHING_OFFERED: readonly number[] = [];

/** How the credentials of a kind are read from the messages of one HAProxy. */
export interface Form {
  readonly kind: CredentialName;
  readonly rank: CredentialKind["rank"];
  /** Which argument of a message it is; negative where it is none. */
  readonly at: number;
  /** With what its typed value begins. */
  readonly type: number;
  readonly conditions: readonly (Condition & { readonly at: number })[];
  /** Where its parts are; undefined where its one value is all of it. */
  readonly parts: readonly number[] | undefined;
  /** Bytes of its value at most, whatever the limit of tokens. */
  readonly largest: number;
  /** The scheme in lower and in upper case: both are it (RFC 9110, section 11.1). Empty where there is none. */
  readonly lower: Buffer;
  readonly upper: Buffer;
  /** What a program less strict than this one might still read as the scheme. */
  readonly like: RegExp | undefined;
  /** What the one member of a list begins with that is the credential. Empty where it is no list. */
  readonly member: Buffer;
}

/** How each proof is read that is sent, by the name that issuers have for it. @param positions as for `formsOf` */
export function proofForms(positions: ReadonlyMap<string, number>): ReadonlyMap<string, Form> {
  return new Map(
    CREDENTIAL_KINDS.flatMap(({ name, proof }) => {
      const [form] = proof === undefined ? [] : (formsOf([name], positions) ?? []);
      return proof === undefined || form === undefined ? [] : [[proof, form] as const];
    }),
  );
}

/**
 * How the credentials of some kinds are read, in the order in which they are looked for.
 *
 * @param kinds their names
 * @param positions of a message's arguments, by name
 * @returns undefined where one of them is not sent
 */
export function formsOf(kinds: readonly string[], positions: ReadonlyMap<string, number>): readonly Form[] | undefined {
  if (kinds.some((name) => credentialKind(name) === undefined)) return undefined;
  if (kindsOf(kinds).some(({ signs = [] }) => signs.some((name) => !positions.has(name)))) return undefined;
  const forms = kindsOf(kinds).map((kind) => formOf(kind, positions));
  const isSent = ({ at, conditions, parts = [] }: Form) =>
    at >= 0 && conditions.every((each) => each.at >= 0) && parts.every((each) => each >= 0);
  return forms.every(isSent) ? forms : undefined;
}

function formOf(kind: CredentialKind, positions: ReadonlyMap<string, number> = new Map()): Form {
  const { name, rank, argument, type = "string", conditions = [], largest = Number.POSITIVE_INFINITY } = kind;
  const { scheme = "", member } = kind;
  return {
    kind: name as CredentialName,
    rank,
    at: positions.get(argument) ?? -1,
    type: VALUE_TYPE[type],
    conditions: conditions.map((each) => ({ ...each, at: positions.get(each.argument) ?? -1 })),
    parts: kind.parts?.map((part) => positions.get(part.argument) ?? -1),
    largest,
    lower: Buffer.from(scheme.toLowerCase()),
    upper: Buffer.from(scheme.toUpperCase()),
    like: scheme === "" ? undefined : new RegExp(`^[^A-Za-z]*${scheme}`, "i"),
    member: Buffer.from(member === undefined ? "" : `${member}.`),
  };
}

const SPACE = 0x20;
const INTEGERS: readonly number[] = [VALUE_TYPE.int32, VALUE_TYPE.uint32, VALUE_TYPE.int64, VALUE_TYPE.uint64];

/**
 * The one credential of a request: the first that it offers in the order of their ranks.
 *
 * A kind that is not taken here is ignored, and so is a scheme of none (Basic, say), as if the header were not there:
 * the request is then refused for want of a credential, or passes where none is needed. What begins like a scheme and is
 * not exactly that (a tab, a colon, a quote) was meant to prove something, so it is a bad credential and not none.
 *
 * It looks at the bytes as they came: a known token never becomes a string. Measured with one of 740 bytes: 1.6 us a
 * request less of 3.2.
 *
 * @param forms of the kinds that are taken here
 * @param limit largest token in bytes
 * @param scheme of the request's URL, as clients see it
 */
export function credentialOf(request: Signable, forms: readonly Form[], limit: number, scheme: Scheme): Credential {
  for (let i = 0; i < forms.length; i++) {
    const form = forms[i] as Form;
    const credential = read(form, request, limit);
    if (credential === NONE) continue;
    if (hasAnother(forms, i, request, limit)) return TWO;
    return form.parts === undefined ? credential : whole(form, form.parts, credential, request, limit, scheme);
  }
  return NONE;
}

type Scheme = "http" | "https";

/** A request as what may be signed of it. */
export interface Signable extends Offered {
  readonly method: string;
  /** As the client sent it. */
  readonly host: string;
  readonly path: string;
  readonly query: string;
}

/**
 * A credential of several parts, which is a signature of the request: with all that it may be of, so that it is another
 * one with another request.
 */
function whole(
  { kind }: Form,
  parts: readonly number[],
  credential: Credential,
  request: Signable,
  limit: number,
  scheme: Scheme,
): Credential {
  if (!("bytes" in credential)) return credential;
  const { method, host, path, query } = request;
  const first = credential.bytes.toString("latin1", credential.start, credential.end);
  const signed = [first, ...parts.map((at) => textAt(at, request)), method, scheme, host, path, query];
  const bytes = Buffer.from(Buffer.from(JSON.stringify(signed)).toString("base64url"));
  return bytes.length > limit ? TOO_LARGE : { kind, bytes, start: 0, end: bytes.length };
}

/** The text of an argument; empty where it is absent. */
function textAt(at: number, { bytes, offered }: Offered): string {
  const found = placeOf(at, offered);
  const start = offered[found] as number;
  if (found < 0 || bytes[start] !== VALUE_TYPE.string) return "";
  return bytes.toString("latin1", contentStart(bytes, start), offered[found + 1] as number);
}

/** Whether another kind of the same rank is offered: then two say who it is, neither of them more than the other. */
function hasAnother(forms: readonly Form[], at: number, request: Offered, limit: number): boolean {
  const { rank, at: argument } = forms[at] as Form;
  for (let i = at + 1; i < forms.length; i++) {
    const form = forms[i] as Form;
    if (form.rank !== rank) return false;
    // One value has one scheme.
    if (form.at !== argument && read(form, request, limit) !== NONE) return true;
  }
  return false;
}

/** A whole value as a credential of one kind, on which there are no conditions. */
export function credentialFrom(kind: CredentialName, value: Buffer, limit: number): Credential {
  const row = credentialKind(kind);
  return row === undefined ? NONE : within(formOf(row), value, 0, value.length, limit);
}

/**
 * What a request offers of one kind, as its credential or as the proof of another one.
 *
 * @param limit largest value in bytes, where the kind has none of its own
 */
export function read(form: Form, request: Offered, limit: number): Credential {
  const { bytes, offered } = request;
  for (const condition of form.conditions) {
    if (!holds(condition, request)) return condition.otherwise === "none" ? NONE : MALFORMED;
  }
  const found = placeOf(form.at, offered);
  const start = offered[found] as number;
  // HAProxy says that there is one, and could not send it: it is larger than a buffer.
  if (found < 0 || bytes[start] !== form.type) return form.conditions.length > 0 ? MALFORMED : NONE;
  return within(form, bytes, contentStart(bytes, start), offered[found + 1] as number, limit);
}

/** Where the value of an argument stands among those offered; negative where it does not. */
function placeOf(at: number, offered: readonly number[]): number {
  for (let i = 0; i < offered.length; i += 3) if (offered[i] === at) return i + 1;
  return -1;
}

function holds({ at, value }: Form["conditions"][number], { bytes, offered }: Offered): boolean {
  const found = placeOf(at, offered);
  if (found < 0) return false;
  const start = offered[found] as number;
  if (value === true) return bytes[start] === BOOL_TRUE;
  // Zero is one byte; every other number begins with another one.
  return INTEGERS.includes(bytes[start] as number) && bytes[start + 1] === 0;
}

function within(form: Form, bytes: Buffer, start: number, end: number, limit: number): Credential {
  if (start === end) return NONE;
  if (form.member.length > 0) return memberOf(form, bytes, start, end, limit);
  const token = form.like === undefined ? start : afterScheme(form, bytes, start, end);
  if (token < 0) return form.like?.test(bytes.toString("latin1", start, end)) ? MALFORMED : NONE;
  if (end - token > limit || end - token > form.largest) return TOO_LARGE;
  if (end === token) return MALFORMED;
  return { kind: form.kind, bytes, start: token, end };
}

const COMMA = 0x2c;
const TAB = 0x09;

/** The one member of a list that is the credential; the others are not its own. */
function memberOf({ kind, member }: Form, bytes: Buffer, start: number, end: number, limit: number): Credential {
  let found: Credential = NONE;
  for (let from = start; from < end; ) {
    const comma = bytes.indexOf(COMMA, from);
    const next = comma < 0 || comma > end ? end : comma;
    const [first, last] = trimmed(bytes, from, next);
    from = next + 1;
    const token = first + member.length;
    if (token > last || member.compare(bytes, first, token) !== 0) continue;
    if (found !== NONE || token === last) return MALFORMED;
    found = last - token > limit ? TOO_LARGE : { kind, bytes, start: token, end: last };
  }
  return found;
}

/** Start and end without blanks around. */
function trimmed(bytes: Buffer, start: number, end: number): readonly [start: number, end: number] {
  const isBlank = (at: number) => bytes[at] === SPACE || bytes[at] === TAB;
  let [first, last] = [start, end];
  while (first < last && isBlank(first)) first++;
  while (first < last && isBlank(last - 1)) last--;
  return [first, last];
}

/** Where the credential begins behind its scheme and spaces; negative where the value does not begin so. */
function afterScheme({ lower, upper }: Form, bytes: Buffer, start: number, end: number): number {
  let at = start + lower.length;
  if (at >= end || bytes[at] !== SPACE) return -1;
  for (let i = 0; i < lower.length; i++) {
    const byte = bytes[start + i];
    if (byte !== lower[i] && byte !== upper[i]) return -1;
  }
  while (at < end && bytes[at] === SPACE) at++;
  return at;
}
