import type { CredentialKind, Strip } from "./credentials.ts";

/** Where the configuration can say that a credential stands. */
export type PlaceName = "header" | "hop" | "subprotocol" | "cookie" | "session";

/** A kind of credential but for its name, by what the place is called in it. */
type Placed = Omit<CredentialKind, "name" | "rank" | "sent">;

const HEADER = /^[a-z0-9-]{1,64}$/;
/** Without what a regular expression, or HAProxy, would read. */
const WORD = /^[A-Za-z0-9_-]{1,64}$/;
const PROTOCOLS = "sec-websocket-protocol";

const PLACES: Readonly<Record<PlaceName, { readonly named: RegExp; readonly kind: (name: string) => Placed }>> = {
  header: {
    named: HEADER,
    kind: (name) => ({ ...inHeader(name), argument: `header_${name}`, meaning: "a header that a client puts it into" }),
  },
  hop: {
    named: HEADER,
    kind: (name) => ({
      ...inHeader(name),
      argument: `hop_${name}`,
      meaning: "a header that the hop before HAProxy puts it into",
      hop: name,
    }),
  },
  subprotocol: {
    named: WORD,
    kind: (name) => ({
      argument: `subprotocol_${name}`,
      sample: `req.fhdr(${PROTOCOLS})`,
      meaning: "the subprotocols that a WebSocket offers",
      count: `req.fhdr_cnt(${PROTOCOLS})`,
      strip: [
        // A list that begins or ends with a comma is a fault for some.
        { action: `replace-header ${PROTOCOLS} '^(.*,)?[[:blank:]]*${name}\\.[^,]*,[[:blank:]]*(.*)$' '\\1\\2'` },
        { action: `replace-header ${PROTOCOLS} '^(.*[^,[:blank:]])[[:blank:]]*,[[:blank:]]*${name}\\.[^,]*$' '\\1'` },
        {
          action: `del-header ${PROTOCOLS}`,
          condition: `{ req.fhdr(${PROTOCOLS}) -m reg '(^|,)[[:blank:]]*${name}\\.' }`,
        },
      ],
      headers: [PROTOCOLS],
      member: name,
    }),
  },
  cookie: {
    named: WORD,
    kind: (name) => ({
      argument: `cookie_${name}`,
      sample: `req.cook(${name})`,
      meaning: "a cookie",
      ...readOnce([name]),
      strip: [
        { action: withoutCookie(name) },
        // Where a backend could read it although HAProxy does not: in quotes, after other blanks, or a second time.
        {
          action: "del-header cookie",
          condition: `{ req.fhdr(cookie) -m reg '(^|[^A-Za-z0-9_-])${name}[^A-Za-z0-9_=;,-]*=' }`,
        },
        { action: "del-header cookie", condition: "{ req.fhdr_cnt(cookie) 1 } { req.fhdr(cookie) -m len 0 }" },
      ],
      headers: [],
    }),
  },
  session: {
    named: WORD,
    kind: (name) => ({
      argument: `session_${name}`,
      // One value: the session, which may be in two cookies, and when it was last seen.
      sample: `req.cook(${name}),concat(,${sessionPart("more")}),concat(~,${sessionPart("seen")})`,
      meaning: "the session of somebody who has logged in by a browser",
      ...readOnce(sessionNames(name)),
      strip: stripSession(name),
      headers: [],
    }),
  },
};

/** What stands beside the session's own cookie, by the ends of their names: its second half, when it was last seen, and a login that is under way. */
export const SESSION_PARTS = ["more", "seen", "login"] as const;

/** HAProxy's variable with what a cookie beside the session's says. */
export function sessionPart(part: (typeof SESSION_PARTS)[number]): string {
  return `txn.countersign_session_${part}`;
}

function sessionNames(name: string): readonly string[] {
  return [name, ...SESSION_PARTS.map((part) => `${name}-${part}`)];
}

/**
 * What makes sure that HAProxy reads the cookies that the browser has sent. Browsers and backends part cookies at
 * semicolons (RFC 6265, section 4.2.1), and send one header. HAProxy parts them at commas as well, and what stands in
 * quotes is part of a value to it: a page of a sibling host, whose cookies the browser sends along, could so hide
 * somebody's cookie, or bring another. So none stands behind a comma, and there are no two, hidden or not.
 */
function readOnce(names: readonly string[]): Pick<Placed, "count" | "ambiguous"> {
  const ambiguous = names.map((name) => {
    const cookie = `[[:blank:]]*${name}[[:blank:]]*=`;
    return `req.fhdr(cookie) -m reg '(,|(^|;)${cookie}.*;)${cookie}'`;
  });
  return { count: "req.fhdr_cnt(cookie)", ambiguous };
}

/** Takes a cookie out as a browser would have put it in. */
function withoutCookie(name: string): string {
  return `replace-header cookie '^(.*;[[:blank:]]*)?${name}[[:blank:]]*=[^;]*;?[[:blank:]]*(.*)$' '\\1\\2'`;
}

/** What is left after that may be read by nobody. */
function stripSession(name: string): readonly Strip[] {
  const condition = `{ req.fhdr(cookie) -m sub ${name} }`;
  return [
    ...sessionNames(name).map((each) => ({ action: withoutCookie(each), condition })),
    { action: "del-header cookie", condition },
    {
      action: "replace-header cookie '^(.*[^;[:blank:]])[;[:blank:]]+$' '\\1'",
      condition: "{ req.fhdr(cookie) -m reg ';$' }",
    },
    { action: "del-header cookie", condition: "{ req.fhdr_cnt(cookie) 1 } { req.fhdr(cookie) -m len 0 }" },
  ];
}

/** Of the names of kinds those of sessions' cookies. */
export function sessionCookies(kinds: readonly string[]): readonly string[] {
  return kinds.flatMap((kind) => (isSession(kind) ? [kind.slice("session:".length)] : []));
}

/** Whether a kind is that of sessions' cookies. */
export function isSession(kind: string): boolean {
  return kind.startsWith("session:");
}

function inHeader(name: string) {
  return {
    sample: `req.fhdr(${name})`,
    count: `req.fhdr_cnt(${name})`,
    strip: [{ action: `del-header ${name}` }],
    headers: [name],
  };
}

/** The kind of a placed credential, `cookie:sid`; undefined where the text is no such name. */
export function placedKind(text: string): CredentialKind | undefined {
  const at = text.indexOf(":");
  const [place, name] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
  if (!isPlace(place) || !PLACES[place].named.test(name)) return undefined;
  return { rank: rankOf(place), ...PLACES[place].kind(name), name: text, sent: "where an issuer takes it" };
}

/** A session is in a cookie as well, and stands for no more than another one. */
function rankOf(place: PlaceName): CredentialKind["rank"] {
  return place === "session" ? "cookie" : place;
}

function isPlace(text: string): text is PlaceName {
  return Object.hasOwn(PLACES, text);
}

/** Whether an argument of a message carries a credential that the configuration places. */
export function isPlacedArgument(argument: string): boolean {
  return /^(?:header|hop|subprotocol|cookie|session)_/.test(argument);
}

/** What stands for a name of the configuration in the documentation's table of arguments. */
export const PLACED_ARGUMENTS = Object.values(PLACES).map(({ kind }) => kind("<name>"));
