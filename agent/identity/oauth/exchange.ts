import type { Section } from "../../config/section.ts";
import { readEndpoint } from "./named-endpoint.ts";
import { type OAuthClient, readClient } from "./section.ts";

/** How an issuer's tokens are exchanged there for others (RFC 8693). Plain data. */
export interface ExchangeConfig {
  readonly client: OAuthClient;
  /** Its token endpoint; undefined for what its metadata say. */
  readonly endpoint: string | undefined;
  /** Milliseconds for one answer, with whatever has to be known before. */
  readonly timeout: number;
  /** Of an answer, in bytes. */
  readonly maxSize: number;
  /** Exchanges at a time. */
  readonly concurrency: number;
}

/** Never used: without `client` there is a fault. */
const NOBODY: OAuthClient = { id: "", authentication: { method: "tls_client_auth" }, certificate: undefined };

/** Reads `exchange` of an issuer; undefined where its tokens are exchanged for no others. */
export function readExchange(issuer: Section, hasMetadata: boolean): ExchangeConfig | undefined {
  if (!issuer.keys().includes("exchange")) return undefined;
  const section = issuer.section("exchange");
  const endpoint = readEndpoint(section, "token endpoint", "https://id.example.com/oauth2/token");
  if (endpoint === undefined && !hasMetadata) {
    section.fault([], "`endpoint` as well: without a discovery document nothing says where to ask");
  }
  return {
    client: section.keys().includes("client") ? readClient(section.section("client")) : NOBODY,
    endpoint,
    timeout: section.milliseconds("timeout"),
    maxSize: section.bytes("max_size"),
    concurrency: section.number("concurrency"),
  };
}
