import { BASE } from "./countersign.ts";
import { claimsOf } from "./generated.ts";

/** What an agent says that does not look at the request; the id comes before it. HAProxy then lets the request pass. */
export const CONSTANT: Readonly<Record<string, string>> = {
  reason: "allowed",
  rule: "orders/things-5",
  revision: BASE.name,
  subject: claimsOf(0).sub,
  header_1: claimsOf(0).sub,
  header_2: claimsOf(0).tenant,
  backend: "orders",
  verdict: "allow",
};
