import { Ajv } from "ajv";
import { test } from "tap";
import { parse } from "yaml";
import schema from "../../agent/config/config.schema.json" with { type: "json" };
import keys from "../../agent/config/files/api-keys.schema.json" with { type: "json" };
import revoked from "../../agent/config/files/revoked.schema.json" with { type: "json" };
import { PRESETS } from "../../agent/config/presets/presets.ts";
import { ALGORITHMS } from "../../agent/identity/jwt/signature.ts";
import { ISSUER_TYPES } from "../../agent/identity/types.ts";
import { versionOf } from "../../haproxy/input.ts";
import policyFile from "../../policies/policy-file.schema.json" with { type: "json" };
import policyTest from "../../policies/policy-test.schema.json" with { type: "json" };
import { resolved, rightOf, type Schema } from "../../policies/source/schema.ts";
import { EVERY_KEY, SHORTEST } from "./example.ts";
import { MISTAKES } from "./mistakes.ts";

// As an editor reads it, which knows nothing of the ranges of durations and sizes.
const ajv = new Ajv({ strict: false });
const accepts = ajv.compile(schema);

/** Mistakes that JSON Schema cannot tell: ranges of texts, what two values mean together, what files hold. */
const BEYOND = [
  /; from \d+\w+ to /,
  /; 127\.0\.0\.1:9000, another loopback|no tls: |names a file|without TLS, which|`server_name: NAME`/,
  /: the (?:address|server) .* a second time/,
  /; a port of at most/,
  /`present` alone|the tenant's own issuer|has no meaning in a name|a claim's name, or names with dots|no `claims.kind`|no mode: |no group: |no haproxy: /,
  /names a file/,
  /a URL without|https: whoever stands/,
  /at least as long as/,
  /whole URL, as its tokens have it/,
  /the text "[^"]*"; the URL that its tokens have|no "issuer" here|as the preset \w+ has it|a URL of its own|a SPIFFE trust domain|a trust domain does not say/,
  /an address such as|an address without|an address, or `false`|keys come from one place|beside `file`/,
  /signs of patterns/,
  /are taken as they are/,
  /a prefix of your own/,
  /`key_id` beside `secret`|secret are sent there|of one directory of keys/,
  /a network such as|bits behind its prefix|the networks of|`trusted: |beside it/,
  /a port from 1 to|an address that HAProxy can listen at/,
  /not http:\/\/HOST/,
  /no `server_name`, and|leave it out, or `verify: required`/,
  /an identity whose whole name has|the file of a key ring/,
  /`proofs` beside it|a secret of \d+ characters|not redis:\/\/|not http:\/\/ or|with a user or password|plain http to/,
  /a type of access tokens, such as/,
  /; one of `header`|no `from` here|`from: client`, or|in place of the mapping|reads this one itself|takes this one away/,
];

test("the published schema is one, and accepts what the agent does", (t) => {
  t.ok(ajv.validateSchema(schema), ajv.errorsText());
  for (const text of [EVERY_KEY, SHORTEST]) t.ok(accepts(parse(text)), ajv.errorsText(accepts.errors));
  t.end();
});

test("the published schema refuses what the agent does, as far as a schema can", (t) => {
  for (const [from, to, fault = ""] of MISTAKES) {
    const beyond = BEYOND.some((pattern) => pattern.test(fault));
    t.equal(accepts(parse(EVERY_KEY.replace(from, () => to))), beyond, `${to}: ${fault}`);
  }
  t.end();
});

/** All schemas of values below one; `if` tells forms of a mapping that is there. */
function* valuesOf(schema: Schema): Generator<Schema> {
  const { properties = {}, definitions = {}, additionalProperties, items } = schema;
  const others = [additionalProperties, items].filter((each) => typeof each === "object");
  for (const value of [...Object.values(properties), ...Object.values(definitions), ...others]) {
    yield value;
    yield* valuesOf(value);
  }
}

test("where a mapping has to be, a fault says what to write", (t) => {
  for (const root of [schema, keys, revoked, policyFile, policyTest] as Schema[]) {
    for (const value of [root, ...valuesOf(root)]) {
      const whole = resolved(value, root);
      // A form that is told by its `type` is a mapping already.
      if (whole.type !== "object" || whole.properties?.type !== undefined) continue;
      t.match(rightOf(whole), /`\{|such as \{|\ba mapping\b|`revoked: \[\]`/);
    }
  }
  t.end();
});

test("the schema names what the code knows", (t) => {
  const { issuer, haproxy } = schema.definitions;
  t.strictSame(issuer.properties.type.enum, Object.keys(ISSUER_TYPES));
  t.strictSame(issuer.properties.algorithms.items.enum, ALGORITHMS);
  t.strictSame(issuer.properties.algorithms.default, ALGORITHMS);
  t.strictSame(issuer.properties.preset.enum, Object.keys(PRESETS));
  const { algorithms } = schema.properties.dpop.properties;
  t.strictSame([algorithms.items.enum, algorithms.default], [ALGORITHMS, ALGORITHMS]);
  for (const version of haproxy.properties.version.enum) t.ok(versionOf(version), version);
  for (let minor = 0; minor < 20; minor += 1) {
    for (const version of [`1.${minor}`, `2.${minor}`, `3.${minor}`, `4.${minor}`]) {
      t.equal(haproxy.properties.version.enum.includes(version), versionOf(version) !== undefined, version);
    }
  }
  t.end();
});
