import type { CredentialName } from "../../../haproxy/credentials.ts";

/** What a request shows beside its credential, and what a proof has to be about. It keeps nothing of the bytes. */
export interface Shown {
  /** Of the credential. */
  readonly kind: CredentialName;
  /** SHA-256 of the credential as it came, in base64url: what a proof names as `ath`. */
  readonly ath: string;
  /** The value of the DPoP header; undefined where there is none. */
  readonly dpop: string | undefined;
  /** SHA-256 of the certificate (DER) that the client has proven to have the key of, in base64url. */
  readonly certificate: string | undefined;
  readonly method: string;
  readonly target: Target;
}

/** A URL as the client sees it, without query and fragment. */
export interface Target {
  readonly scheme: "http" | "https";
  /** As in Host, with the port where the client wrote one. */
  readonly host: string;
  readonly path: string;
}
