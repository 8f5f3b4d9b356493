import type { Fault } from "../../policies/fault.ts";
import { readInstant } from "../../policies/instant.ts";
import type { Path, SourceDocument } from "../../policies/source/document.ts";
import { knownKeys, rightOf, type Schema, schemaAt } from "../../policies/source/schema.ts";
import { describe, nearest } from "../../policies/source/validate.ts";
import { bytes, milliseconds } from "./units.ts";

/** A schema with the range of a duration or a size, which JSON Schema cannot say. */
export interface ConfigSchema extends Schema {
  readonly "x-minimum"?: string;
  readonly "x-maximum"?: string;
}

/** What the sections of one file are read from, and where they tell what is wrong with it. */
export interface Reading {
  readonly document: SourceDocument;
  readonly schema: Schema;
  readonly faults: Fault[];
  readonly warnings: Fault[];
  /** Every file that is read besides, to be watched. */
  readonly files: string[];
}

/**
 * One mapping of the configuration file. A key that is not there has the schema's default; so has, here, a value of
 * the wrong kind, of which the schema has told: whatever is read then is never used.
 */
export class Section {
  readonly reading: Reading;
  readonly path: Path;
  readonly #value: unknown;

  constructor(reading: Reading, path: Path, value: unknown) {
    this.reading = reading;
    this.path = path;
    this.#value = value;
  }

  section(key: string | number): Section {
    return new Section(this.reading, [...this.path, key], this.#own(key));
  }

  /** The keys that are there. */
  keys(): readonly string[] {
    return isRecord(this.#value) ? Object.keys(this.#value) : [];
  }

  /** The text that stands where a mapping could. */
  get whole(): string | undefined {
    return typeof this.#value === "string" ? this.#value : undefined;
  }

  text(key: string): string {
    return this.optionalText(key) ?? "";
  }

  /** Milliseconds since the epoch; 0, and a fault, where it is none that there is. @param example as the fault has it */
  instant(key: string, example: string): number {
    const time = readInstant(this.text(key));
    if (time === undefined) this.fault([key], `a time that there is, such as ${example}`);
    return time ?? 0;
  }

  optionalText(key: string): string | undefined {
    const value = this.#own(key) ?? this.#schema(key).default;
    return typeof value === "string" ? value : undefined;
  }

  /** One of a few texts; the schema has seen to it that it is one. */
  choice<Name extends string>(key: string): Name {
    return this.text(key) as Name;
  }

  /** Whatever stands there, for a value of several forms. */
  value(key: string): unknown {
    return this.#own(key) ?? this.#schema(key).default;
  }

  /** A list of texts, or one text alone. */
  texts(key: string): readonly string[] {
    const value = this.#own(key) ?? this.#schema(key).default;
    return [value ?? []].flat().filter((item) => typeof item === "string");
  }

  /** The items of a list that are mappings, or could be. */
  items(key: string): readonly Section[] {
    const value = this.#own(key);
    const list = this.section(key);
    return Array.isArray(value) ? value.map((_, index) => list.section(index)) : [];
  }

  flag(key: string): boolean {
    return (this.#own(key) ?? this.#schema(key).default) === true;
  }

  number(key: string): number {
    const value = this.#own(key) ?? this.#schema(key).default;
    return typeof value === "number" ? value : 0;
  }

  milliseconds(key: string): number {
    return this.#amount(key, milliseconds);
  }

  bytes(key: string): number {
    return this.#amount(key, bytes);
  }

  /** `file:line:column` */
  get place(): string {
    return this.reading.document.place(this.path);
  }

  /** A fault of a value below. */
  fault(steps: Path, right: string, found = this.found(steps)): void {
    this.reading.faults.push(this.reading.document.fault([...this.path, ...steps], found, right));
  }

  warn(steps: Path, found: string, right: string): void {
    this.reading.warnings.push(this.reading.document.fault([...this.path, ...steps], found, right));
  }

  /** A value below as a fault names it. */
  found(steps: Path): string {
    return describe(this.reading.document.written([...this.path, ...steps]));
  }

  /** A fault where a key is absent that has to be there; one that is misspelt has been told. */
  need(key: string): void {
    const { document, faults } = this.reading;
    if (this.means(key)) return;
    faults.push(document.keyFault(this.path, `no "${key}" here`, rightOf(this.#schema(key))));
  }

  /** Whether a key is there, or one that is misspelt, of which has been told. */
  means(key: string): boolean {
    const { document, schema } = this.reading;
    const known = knownKeys(schemaAt(schema, this.path, document.value));
    return this.keys().some((own) => own === key || (!known.includes(own) && nearest(own, [key]) !== undefined));
  }

  /** Whether the text below is what the file says, and not what a reference in it stands for. */
  isWritten(steps: Path): boolean {
    const path = [...this.path, ...steps];
    const value = path.reduce<unknown>(
      (outer, step) => (outer as Record<string | number, unknown>)[step],
      this.reading.document.value,
    );
    return this.reading.document.written(path) === value;
  }

  #amount(key: string, read: (text: string) => number | undefined): number {
    const { "x-minimum": least = "", "x-maximum": most = "" }: ConfigSchema = this.#schema(key);
    const amount = read(this.text(key));
    if (amount === undefined) return 0;
    if (amount < (read(least) ?? 0) || amount > (read(most) ?? 0)) this.fault([key], `from ${least} to ${most}`);
    return amount;
  }

  #schema(key: string | number): ConfigSchema {
    return schemaAt(this.reading.schema, [...this.path, key], this.reading.document.value);
  }

  #own(key: string | number): unknown {
    const value = this.#value;
    if (Array.isArray(value)) return value[Number(key)];
    return isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
