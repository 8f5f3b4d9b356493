import type { CredentialKind } from "./credentials.ts";

/** Where the configuration can say that a credential stands. */
export type PlaceName = "header" | "hop" | "subprotocol" | "cookie";

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
      count: `req.cook_cnt(${name})`,
      strip: [
        {
          action: `replace-header cookie '^(.*[;,][[:blank:]]*)?${name}[[:blank:]]*=[^;,]*[;,]?[[:blank:]]*(.*)$' '\\1\\2'`,
        },
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
};

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
  return { ...PLACES[place].kind(name), name: text, rank: place, sent: "where an issuer takes it" };
}

function isPlace(text: string): text is PlaceName {
  return Object.hasOwn(PLACES, text);
}

/** Whether an argument of a message carries a credential that the configuration places. */
export function isPlacedArgument(argument: string): boolean {
  return /^(?:header|hop|subprotocol|cookie)_/.test(argument);
}

/** What stands for a name of the configuration in the documentation's table of arguments. */
export const PLACED_ARGUMENTS = Object.values(PLACES).map(({ kind }) => kind("<name>"));
