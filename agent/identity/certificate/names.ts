import { constructedTag, contextTag, Der, DerError, TAG } from "./der.ts";

/** The names that a certificate gives its subject beside the distinguished one, by their kinds (RFC 5280, section 4.2.1.6). */
export interface Names {
  readonly dns: readonly string[];
  readonly uri: readonly string[];
  readonly email: readonly string[];
}

const MOST_NAMES = 1024;

/** Reads subjectAltName. A name with a blank, a control or a character outside ASCII is none; other kinds are passed over. */
export function readNames(value: Der): Names {
  const list = value.inside(TAG.sequence);
  const names = { dns: [] as string[], uri: [] as string[], email: [] as string[] };
  let count = 0;
  while (!list.done) {
    if (++count > MOST_NAMES) throw new DerError("fewer names");
    const tag = list.tag ?? 0;
    if (tag === contextTag(1)) names.email.push(word(list, tag));
    else if (tag === contextTag(2)) names.dns.push(word(list, tag));
    else if (tag === contextTag(6)) names.uri.push(word(list, tag));
    else if (OTHERS.includes(tag)) list.content(tag);
    else throw new DerError("a name");
  }
  if (count === 0) throw new DerError("a name");
  return names;
}

/** otherName, x400Address, directoryName, ediPartyName, iPAddress, registeredID. */
const OTHERS = [...[0, 3, 4, 5].map(constructedTag), ...[7, 8].map(contextTag)];

function word(list: Der, tag: number): string {
  const text = list.ascii(tag);
  if (text === "" || text.includes(" ")) throw new DerError("a name");
  return text;
}

/** The attributes that RFC 4514, section 3, has names for, and those that are as usual. */
const ATTRIBUTES: ReadonlyMap<string, string> = new Map([
  ["2.5.4.3", "CN"],
  ["2.5.4.7", "L"],
  ["2.5.4.8", "ST"],
  ["2.5.4.10", "O"],
  ["2.5.4.11", "OU"],
  ["2.5.4.6", "C"],
  ["2.5.4.9", "STREET"],
  ["0.9.2342.19200300.100.1.25", "DC"],
  ["0.9.2342.19200300.100.1.1", "UID"],
]);

const TEXTS = [TAG.utf8String, TAG.printableString, TAG.ia5String] as const;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A distinguished name as a text (RFC 4514): the last attribute first, `CN=alice,OU=Orders,O=Acme`. Two names have the
 * same text only where they have the same attributes with the same characters.
 *
 * @param name as DER
 * @returns empty for the empty name
 * @throws DerError where it cannot be read
 */
export function distinguishedName(name: Buffer): string {
  const whole = new Der(name);
  const list = whole.inside(TAG.sequence);
  whole.finish();
  const parts: string[] = [];
  while (!list.done) parts.unshift(relativeName(list.inside(TAG.set)));
  return parts.join(",");
}

function relativeName(set: Der): string {
  const attributes: string[] = [];
  do {
    const attribute = set.inside(TAG.sequence);
    attributes.push(attributeText(attribute.oid(), attribute));
    attribute.finish();
  } while (!set.done);
  return attributes.join("+");
}

function attributeText(id: string, attribute: Der): string {
  const name = ATTRIBUTES.get(id);
  const tag = attribute.tag ?? 0;
  // Section 2.4: what has no text is written as its octets.
  if (name === undefined || !TEXTS.some((text) => text === tag)) {
    return `${name ?? id}=#${attribute.whole(tag).toString("hex")}`;
  }
  return `${name}=${escaped(textOf(attribute.content(tag)))}`;
}

function textOf(content: Buffer): string {
  try {
    return UTF8.decode(content);
  } catch {
    throw new DerError("UTF-8");
  }
}

/** Section 2.4. */
function escaped(text: string): string {
  return text
    .replaceAll(/["+,;<>\\]/g, "\\$&")
    .replace(/^[ #]/, "\\$&")
    .replace(/ $/, "\\ ");
}
