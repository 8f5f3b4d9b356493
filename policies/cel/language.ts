import { Environment } from "@marcbachmann/cel-js";
import { registerAddresses } from "./addresses.ts";
import { registerFunctions } from "./functions.ts";
import { registerHeaderValues } from "./header-values.ts";
import { ActorView, PrincipalView, RequestView } from "./input.ts";
import { registerLiterals } from "./literals.ts";
import { registerMacros } from "./macros.ts";

/** Longest expression, in UTF-16 code units. */
export const LONGEST_EXPRESSION = 4096;

const TIMESTAMP = "google.protobuf.Timestamp";

/** The fields of what expressions read, by the name of their type. */
export const FIELDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  request: {
    method: "string",
    host: "string",
    path: "string",
    params: "map<string, string>",
    query: "string",
    headers: "map<string, string>",
    src: "string",
    tls: "bool",
    time: TIMESTAMP,
  },
  principal: {
    subject: "string",
    issuer: "string",
    kind: "string",
    groups: "list<string>",
    roles: "list<string>",
    scopes: "list<string>",
    claims: "map<string, dyn>",
    client: "string",
    actor: "list<actor>",
    arn: "string",
    uri: "string",
    authenticated_at: TIMESTAMP,
    expires_at: TIMESTAMP,
    bound: "string",
  },
  actor: { subject: "string", issuer: "string", kind: "string" },
};

/** CEL as policies write it, without any variable: its functions, its types, its limits. */
export const LANGUAGE = registerLiterals(
  registerMacros(
    registerAddresses(
      registerHeaderValues(
        registerFunctions(
          new Environment({
            limits: { maxAstNodes: 1024, maxDepth: 48, maxListElements: 256, maxMapEntries: 256, maxCallArguments: 4 },
          }),
        ),
      ),
    ),
  ),
);

/** The language with `request` and `principal`. */
export const POLICY_LANGUAGE = LANGUAGE.clone()
  .registerType("actor", { ctor: ActorView, fields: { ...FIELDS.actor } })
  .registerType("request", { ctor: RequestView, fields: { ...FIELDS.request } })
  .registerType("principal", { ctor: PrincipalView, fields: { ...FIELDS.principal } })
  .registerVariable("request", "request")
  .registerVariable("principal", "principal");
