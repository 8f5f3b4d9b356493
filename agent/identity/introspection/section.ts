import type { Environment } from "../../config/files/substitute.ts";
import type { Section } from "../../config/section.ts";
import { readEndpoint } from "../oauth/named-endpoint.ts";
import { type OAuthClient, readClient } from "../oauth/section.ts";
import { type KeyIssuer, readOidc } from "../oidc/section.ts";
import { prefixesOf } from "./token-form.ts";

/** An authorization server that is asked about each token (RFC 7662). What it says are claims, as those of a JWT are. */
export interface IntrospectionIssuer extends KeyIssuer {
  readonly type: "introspection";
  /** Which bearer tokens are its own: those that are no JWTs, or JWTs with its `iss`. */
  readonly tokens: "opaque" | "jwt";
  /** What its opaque tokens begin with; undefined where it has all that are nobody else's. */
  readonly prefix: string | undefined;
  /** Where it is asked; undefined for what its metadata says. */
  readonly endpoint: string | undefined;
  readonly client: OAuthClient;
  /** `signed` for JWTs (RFC 9701), and then nothing else. */
  readonly answers: "plain" | "signed";
  /** What is done with an answer that does not say of what kind the token is. */
  readonly untyped: "refuse" | "accept";
  /** Milliseconds for which an answer counts. */
  readonly lifetime: number;
  /** Milliseconds for one answer, with whatever has to be known before. */
  readonly timeout: number;
  /** Of an answer, in bytes. */
  readonly maxSize: number;
  /** Questions at a time. */
  readonly concurrency: number;
}

/** Reads the section of an issuer of this type. */
export function readIntrospection(name: string, section: Section, environment: Environment): IntrospectionIssuer {
  const { tokenTypes: _types, idTokens: _idTokens, ...shared } = readOidc(name, section, environment);
  const form = readForm(section);
  const endpoint = readEndpoint(section, "introspection endpoint", "https://id.example.com/oauth2/introspect");
  if (endpoint === undefined && !("discovery" in shared.keys.source)) {
    section.fault([], "`endpoint` as well: without a discovery document nothing says where to ask");
  }
  return {
    ...shared,
    ...prefixesOf(form),
    ...form,
    type: "introspection",
    endpoint,
    client: readClient(section.section("client")),
    answers: section.choice<IntrospectionIssuer["answers"]>("answers"),
    untyped: section.choice<IntrospectionIssuer["untyped"]>("untyped"),
    lifetime: section.milliseconds("lifetime"),
    timeout: section.milliseconds("timeout"),
    maxSize: section.bytes("max_size"),
    concurrency: section.number("concurrency"),
  };
}

function readForm(section: Section): Pick<IntrospectionIssuer, "tokens" | "prefix"> {
  const [tokens, prefix] = [section.choice<"opaque" | "jwt">("tokens"), section.optionalText("token_prefix")];
  if (tokens === "jwt" && prefix !== undefined) {
    section.fault(["token_prefix"], "no `token_prefix` with `tokens: jwt`: JWTs are told by their `iss`");
  }
  return { tokens, prefix };
}
