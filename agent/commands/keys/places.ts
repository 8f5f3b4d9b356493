import { dirname, resolve } from "node:path";
import { isMapping } from "../../../policies/claim-path.ts";
import { faultText } from "../../../policies/fault.ts";
import { readDocument } from "../../../policies/source/document.ts";
import { readText } from "../../config/files/read-file.ts";
import { substitute } from "../../config/files/substitute.ts";
import { EXIT } from "../../processes/exit.ts";
import { CommandError, type Context, configOf, type Options, textOption, UsageError } from "../command.ts";

/** An issuer of API keys, as far as its keys can be written: their file need not be there yet, or sound. */
export interface Place {
  readonly issuer: string;
  readonly prefix: string;
  /** Absolute path of the file with its keys. */
  readonly file: string;
}

const LARGEST = 1 << 20;

/** The issuer whose keys a command is about. @throws CommandError where the configuration has none, or several and none is named */
export function placeOf(options: Options, context: Context): Place {
  const config = configOf(options, context);
  const places = placesIn(config, context);
  const named = textOption(options, "issuer");
  const fitting = named === undefined ? places : places.filter(({ issuer }) => issuer === named);
  const [place, other] = fitting;
  const names = places.map(({ issuer }) => issuer).join(", ");
  if (place === undefined) {
    const what = named === undefined ? "no issuer of the type api-key" : `no issuer ${named} of the type api-key`;
    throw new CommandError(`${config} has ${what}${names === "" ? "" : `; it has ${names}`}`, EXIT.configuration);
  }
  if (other !== undefined) throw new UsageError(`--issuer is missing: it is one of ${names}`);
  return place;
}

function placesIn(config: string, { environment }: Context): readonly Place[] {
  const read = readText(config, LARGEST);
  if ("problem" in read) throw new CommandError(`${config} cannot be read: ${read.problem}`, EXIT.configuration);
  const written = readDocument(config, read.text);
  if (!("value" in written)) throw new CommandError(written.map(faultText).join("\n"), EXIT.configuration);
  const { value } = substitute(written, environment, dirname(resolve(config))).document;
  const issuers = isMapping(value) && isMapping(value.issuers) ? Object.entries(value.issuers) : [];
  return issuers.flatMap(([issuer, section]) => {
    if (!isMapping(section) || section.type !== "api-key") return [];
    const { prefix, file } = section;
    if (typeof prefix !== "string" || typeof file !== "string") return [];
    return [{ issuer, prefix, file: resolve(dirname(resolve(config)), file) }];
  });
}
