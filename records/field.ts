/** How a field of a record is written, and so what a reader finds. */
export interface Field {
  readonly type: "text" | "number" | "mapping";
  /** Characters at most of a text that could be longer: it is cut, and ends in `…`. */
  readonly max?: number;
  /** Not in every record. */
  readonly optional?: true;
  /** null where it cannot be told. */
  readonly nullable?: true;
}

type Value<F extends Field> =
  | (F["type"] extends "number" ? number : F["type"] extends "mapping" ? Readonly<Record<string, unknown>> : string)
  | (F extends { readonly nullable: true } ? null : never);

type Optional<Fields> = {
  [Name in keyof Fields]: Fields[Name] extends { optional: true } ? Name : never;
}[keyof Fields];

/** A record with these fields, as it is read. */
export type RecordOf<Fields extends Readonly<Record<string, Field>>> = {
  readonly [Name in Exclude<keyof Fields, Optional<Fields>>]: Value<Fields[Name]>;
} & {
  readonly [Name in Optional<Fields>]?: Value<Fields[Name]>;
};
