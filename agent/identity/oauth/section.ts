import type { Section } from "../../config/section.ts";
import type { ClientCertificate } from "../../http/secure.ts";
import { readCertificate, readSigningKey, type SigningKey } from "./key-files.ts";

/** How this agent shows an authorization server that it is a client of its (RFC 6749, section 2.3). Plain data. */
export type ClientAuthentication =
  | { readonly method: "client_secret_basic" | "client_secret_post"; readonly secret: string }
  | { readonly method: "private_key_jwt"; readonly key: SigningKey }
  | { readonly method: "tls_client_auth" };

/** This agent as a client of an authorization server. */
export interface OAuthClient {
  readonly id: string;
  readonly authentication: ClientAuthentication;
  /** What it shows to a server that asks for a certificate. */
  readonly certificate: ClientCertificate | undefined;
}

/** The keys of `client` that belong to each of the ways to authenticate. */
const WAYS = {
  secret: ["secret", "method"],
  key: ["key", "key_id", "algorithm", "audience"],
  certificate: ["certificate", "key"],
};

/** Reads `client`. How it authenticates follows from what it has: a secret, a key, or a certificate with its key. */
export function readClient(section: Section): OAuthClient {
  const keys = section.keys();
  const way = keys.includes("certificate") ? "certificate" : keys.includes("secret") ? "secret" : "key";
  if (!keys.includes("secret") && !keys.includes("key")) {
    section.fault([], "`id` and `secret`, or `key`, or `certificate` and `key`: by that the issuer knows it");
  }
  const all = Object.values(WAYS).flat();
  for (const key of keys) {
    if (all.includes(key) && !WAYS[way].includes(key)) section.fault([key], `no \`${key}\` beside \`${way}\``);
  }
  checkInline(section);
  const id = section.text("id");
  if (way === "certificate") {
    return { id, authentication: { method: "tls_client_auth" }, certificate: readCertificate(section) };
  }
  const authentication: ClientAuthentication =
    way === "secret"
      ? {
          method: section.choice<"client_secret_basic" | "client_secret_post">("method"),
          secret: section.text("secret"),
        }
      : { method: "private_key_jwt", key: readSigningKey(section) };
  return { id, authentication, certificate: undefined };
}

/** What stands in the file itself is read by whoever reads the file, and shown by whatever shows it. */
function checkInline(section: Section): void {
  const { document } = section.reading;
  const written = document.written([...section.path, "secret"]);
  if (typeof written !== "string" || written.includes("${")) return;
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is what is to be written
  section.warn(["secret"], "the secret itself", "a reference, such as `${file:/run/secrets/client}`");
}
