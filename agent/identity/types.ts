import { API_KEY } from "./api-key/api-key.ts";
import { AWS_IAM } from "./aws-iam/aws-iam.ts";
import { CLIENT_CERTIFICATE } from "./certificate/certificate.ts";
import { HTTP_SIGNATURE } from "./http-signature/http-signature.ts";
import { INTROSPECTION } from "./introspection/introspection.ts";
import type { IssuerTypes } from "./issuer/issuer.ts";
import { MESH } from "./mesh/mesh.ts";
import { OIDC } from "./oidc/oidc.ts";

/** Every type of issuers that a configuration may name. docs/architecture.md says how one is added. */
export const ISSUER_TYPES: IssuerTypes = {
  oidc: OIDC,
  introspection: INTROSPECTION,
  "aws-iam": AWS_IAM,
  "api-key": API_KEY,
  "client-certificate": CLIENT_CERTIFICATE,
  "http-signature": HTTP_SIGNATURE,
  mesh: MESH,
};
