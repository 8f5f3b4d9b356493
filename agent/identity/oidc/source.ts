import { dirname, resolve } from "node:path";
import { readText } from "../../config/files/read-file.ts";
import type { Section } from "../../config/section.ts";
import { isLoopback } from "../../http/fetch.ts";
import { parseObject } from "../../http/json.ts";
import { bearerFrom } from "./bearer.ts";
import { discoveryUrl } from "./discovery.ts";
import { readJwks, unusable } from "./jwks.ts";
import { checkNames } from "./names.ts";

/** Where an issuer's keys are: where its discovery document says, at an address, or in a file, whose text it is. */
export type KeySource = { readonly discovery: string } | { readonly url: string } | { readonly document: string };

/** Reads what an issuer is called and where its keys are: `issuer`, `discovery`, `keys.url` and `keys.file`. */
export function readSource(section: Section): KeySource {
  const keys = section.section("keys");
  const [discovery, url, file] = [section.value("discovery"), keys.optionalText("url"), keys.optionalText("file")];
  checkNames(section, discovery === undefined && url === undefined && file === undefined);
  checkChoice(section, keys);
  if (file !== undefined) return { document: readKeyFile(section, keys, file) };
  if (url !== undefined) return { url: checked(keys, "url", url) };
  if (typeof discovery === "string") return { discovery: checked(section, "discovery", discovery) };
  return { discovery: discoveryUrl(section.texts("issuer")[0] ?? "") };
}

/** Keys come from one place, and what does not concern it is not meant. */
function checkChoice(section: Section, keys: Section): void {
  const discovery = section.value("discovery");
  const places = ["url", "file"].filter((key) => keys.keys().includes(key));
  if (discovery === true) {
    section.fault(["discovery"], "an address, or `false`: without this key it follows from `issuer`");
  }
  if (discovery === false && places.length === 0) {
    section.fault(["discovery"], "`keys.url` or `keys.file` beside it: else there are no keys");
  }
  if (typeof discovery === "string" && places.length > 0) {
    section.fault(["discovery"], `either this or \`keys.${places[0]}\`: keys come from one place`);
  }
  if (!places.includes("file")) return;
  for (const key of ["url", "bearer", "refresh", "cooldown", "max_stale", "timeout"]) {
    if (keys.keys().includes(key)) keys.fault([key], `no \`${key}\` beside \`file\`, which is read when it changes`);
  }
}

/** An address that is asked and not compared, so that it may have a query. */
function checked(section: Section, key: string, text: string): string {
  const url = URL.parse(text);
  const fault = (right: string) => section.fault([key], right);
  if (url === null || !/^https?:$/.test(url.protocol)) fault("an address such as https://idp.example.com/keys");
  else if (url.username !== "" || url.password !== "") fault("an address without user name and password");
  else if (url.hash !== "") fault("an address without fragment");
  else if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    fault("https: whoever stands between could swap the keys; http is for loopback only");
  }
  return text;
}

/** Reads `keys.bearer`: the path of a file. It is read anew with every fetch; here it is seen that there is a token. */
export function readBearer(keys: Section): string | undefined {
  const named = keys.optionalText("bearer");
  if (named === undefined) return undefined;
  const file = pathOf(keys, named);
  const bearer = bearerFrom(file);
  if ("problem" in bearer) {
    keys.fault(["bearer"], "a readable file with a token", `${keys.found(["bearer"])} ${bearer.problem}`);
  }
  return file;
}

function pathOf({ reading }: Section, named: string): string {
  return resolve(dirname(reading.document.file), named);
}

/** The text of a JWKS that has a key to check with. */
function readKeyFile(section: Section, keys: Section, named: string): string {
  const file = pathOf(keys, named);
  keys.reading.files.push(file);
  const read = readText(file, keys.bytes("max_size"));
  const problem =
    "text" in read
      ? jwksProblem(read.text, section.texts("algorithms"))
      : `names a file that cannot be read: ${read.problem}`;
  if (problem !== undefined) keys.fault(["file"], "a readable JWKS file", `${keys.found(["file"])} ${problem}`);
  return "text" in read ? read.text : "";
}

function jwksProblem(text: string, algorithms: readonly string[]): string | undefined {
  const document = parseObject(Buffer.from(text));
  if (document === undefined) return "names a file that is no JSON object, or can be read in two ways";
  const jwks = readJwks(document, algorithms);
  const problem = typeof jwks === "string" ? jwks : unusable(jwks);
  return problem === undefined ? undefined : `names a file that does not do: ${problem}`;
}
