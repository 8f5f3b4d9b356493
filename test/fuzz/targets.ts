import type { Target } from "./target.ts";
import { AUDIT } from "./targets/audit.ts";
import { AWS_TOKENS, STS_ANSWERS } from "./targets/aws.ts";
import { CEL } from "./targets/cel.ts";
import { CERTIFICATES } from "./targets/certificates.ts";
import { COOKIES } from "./targets/cookies.ts";
import { CREDENTIALS } from "./targets/credentials.ts";
import { FRAMES } from "./targets/frames.ts";
import { HAPROXY } from "./targets/haproxy.ts";
import { HOSTS } from "./targets/hosts.ts";
import { INTROSPECTION } from "./targets/introspection.ts";
import { JSON_OBJECTS } from "./targets/json.ts";
import { DISCOVERY, JWKS } from "./targets/jwks.ts";
import { API_KEYS } from "./targets/keys.ts";
import { LOGS } from "./targets/logs.ts";
import { PATHS } from "./targets/paths.ts";
import { POLICIES } from "./targets/policies.ts";
import { PROOFS } from "./targets/proofs.ts";
import { REQUEST } from "./targets/request.ts";
import { TOKENS } from "./targets/tokens.ts";
import { SPOP_VALUES } from "./targets/values.ts";

/** Everything that reads what others have written: bytes of HAProxy, credentials, files, answers, logs. */
export const TARGETS: readonly Target[] = [
  ...[FRAMES, SPOP_VALUES, REQUEST, CREDENTIALS, HOSTS, PATHS, JSON_OBJECTS],
  ...[TOKENS, PROOFS, AWS_TOKENS, CERTIFICATES, API_KEYS, COOKIES],
  ...[JWKS, DISCOVERY, INTROSPECTION, STS_ANSWERS],
  ...[POLICIES, CEL, HAPROXY, LOGS, AUDIT],
];
