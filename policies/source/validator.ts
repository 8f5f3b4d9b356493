import { Ajv, type Options, type ValidateFunction } from "ajv";

const compiled = new WeakMap<object, ValidateFunction>();

/**
 * What holds a value against a JSON Schema (draft 7).
 *
 * Compiling takes a third of a start, so a release has it done: build/validators.ts puts what it gives for all schemas
 * in this module's place.
 */
export function validatorOf(schema: object): ValidateFunction {
  const validate = compiled.get(schema) ?? createAjv().compile(schema);
  compiled.set(schema, validate);
  return validate;
}

export function createAjv(options: Options = {}): Ajv {
  const ajv = new Ajv({ allErrors: true, allowUnionTypes: true, ...options });
  // Ranges of durations and sizes, for whoever can read these.
  ajv.addVocabulary(["x-minimum", "x-maximum"]);
  return ajv;
}
