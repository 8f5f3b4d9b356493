import PUBLISHED from "../../../agent/config/config.schema.json" with { type: "json" };
import type { IssuerConfig } from "../../../agent/config/config.ts";
import { readAudiences } from "../../../agent/config/names.ts";
import type { Section } from "../../../agent/config/section.ts";
import type { Schema } from "../../../policies/source/schema.ts";

/** Whom a token stands for. */
export interface Grant {
  readonly subject: string;
  readonly audience: string;
  /** Milliseconds since the epoch. */
  readonly until: number;
  /** Thumbprint of the key that its sender must prove to have. */
  readonly bound: string | undefined;
}

/** A fixed table of opaque tokens. */
export interface ToyIssuer extends IssuerConfig {
  readonly type: "toy";
  readonly tokens: Readonly<Record<string, Grant>>;
  /** The address of a JSON document that must say `{ "open": true }` before a token counts. */
  readonly desk: string | undefined;
}

export function readToy(name: string, section: Section): ToyIssuer {
  const tokens = section.section("tokens");
  const grants = tokens.keys().map((token) => [token, grantOf(tokens.section(token))] as const);
  const issuer = section.text("prefix");
  for (const [token] of grants) {
    if (!token.startsWith(issuer)) section.fault(["tokens", token], `a token that begins with ${issuer}`);
  }
  return {
    name,
    type: "toy",
    issuer,
    credentials: ["bearer"],
    prefixes: [issuer],
    audiences: readAudiences(section),
    kinds: ["workload"],
    tokens: Object.fromEntries(grants),
    desk: section.optionalText("desk"),
  };
}

function grantOf(section: Section): Grant {
  return {
    subject: section.text("subject"),
    audience: section.text("audience"),
    until: section.number("until"),
    bound: section.optionalText("bound"),
  };
}

const GRANT = {
  description: "whom the token stands for",
  type: "object",
  additionalProperties: false,
  required: ["subject", "audience", "until"],
  properties: {
    subject: { type: "string", minLength: 1 },
    audience: { type: "string" },
    until: { description: "milliseconds since the epoch", type: "number" },
    bound: { type: "string" },
  },
};

const SECTION = {
  description: "a toy issuer",
  type: "object",
  additionalProperties: false,
  required: ["type", "prefix", "audiences", "tokens"],
  properties: {
    type: { description: "`toy`: a fixed table of opaque tokens", enum: ["toy"] },
    prefix: { description: "what its tokens begin with, such as toy_", type: "string", pattern: "^[a-z_]+$" },
    audiences: { type: "array", items: { type: "string" } },
    tokens: { type: "object", additionalProperties: GRANT },
    desk: { type: "string" },
  },
};

/** The schema of configurations with one more type, as agent/config/config.schema.json would have it. */
export const SCHEMA_WITH_TOY: Schema = {
  ...(PUBLISHED as Schema),
  definitions: { ...(PUBLISHED as Schema).definitions, toy: SECTION },
  properties: {
    ...(PUBLISHED as Schema).properties,
    issuers: {
      ...PUBLISHED.properties.issuers,
      additionalProperties: {
        if: { type: "object", properties: { type: { const: "toy" } }, required: ["type"] },
        // biome-ignore lint/suspicious/noThenProperty: JSON Schema calls it so
        then: { $ref: "#/definitions/toy" },
        else: { $ref: "#/definitions/issuer" },
      },
    } as Schema,
  },
};
