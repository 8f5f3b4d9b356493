import { readFileSync } from "node:fs";
import standalone from "ajv/dist/standalone/index.js";
import type { Plugin } from "esbuild";
import { createAjv } from "../policies/source/validator.ts";

/** Puts what Ajv makes of the schemas in the place of policies/source/validator.ts, which would make it at every start. */
export function compiledValidators(schemas: readonly string[]): Plugin {
  return {
    name: "compiled-validators",
    setup({ onLoad }) {
      onLoad({ filter: /\/policies\/source\/validator\.ts$/ }, () => ({
        contents: moduleOf(schemas),
        resolveDir: import.meta.dirname,
      }));
    },
  };
}

function moduleOf(schemas: readonly string[]): string {
  const ajv = createAjv({ code: { source: true, esm: true } });
  for (const path of schemas) ajv.addSchema(JSON.parse(readFileSync(path, "utf8")), path);
  const validators = standalone.default(ajv, Object.fromEntries(schemas.map((path, i) => [`validator${i}`, path])));
  const imports = schemas.map((path, i) => `import schema${i} from ${JSON.stringify(path)} with { type: "json" };`);
  const pairs = schemas.map((_, i) => `[schema${i}, validator${i}]`);
  return [
    ...imports,
    validators,
    `const compiled = new Map([${pairs.join(", ")}]);`,
    "export const validatorOf = (schema) => compiled.get(schema);",
  ].join("\n");
}
