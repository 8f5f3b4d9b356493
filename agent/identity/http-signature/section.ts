import { hasPlaceholder } from "../../../policies/signs.ts";
import type { IssuerConfig } from "../../config/config.ts";
import type { Environment } from "../../config/files/substitute.ts";
import { readAudiences } from "../../config/names.ts";
import type { Section } from "../../config/section.ts";
import { readCa, readProxy } from "../../config/sections/provider.ts";
import type { KeyOwner } from "../oidc/section.ts";
import { directoryOf } from "./agent-url.ts";

/** Agents that sign their requests (Web Bot Auth), by the directories with their keys. No other is ever asked. */
export interface SignatureIssuer extends IssuerConfig, Pick<KeyOwner, "ca" | "proxy"> {
  readonly type: "http-signature";
  /** Addresses of the directories; they are the agents' names. */
  readonly agents: readonly string[];
  /** Milliseconds for which a signature counts after it was made, whatever it says itself. */
  readonly maxAge: number;
  readonly clockTolerance: number;
  /** Whether a signature counts for one request alone. */
  readonly reuse: "refuse" | "accept";
  readonly keys: Omit<KeyOwner["keys"], "source" | "bearer">;
}

/** Reads the section of an issuer of this type. */
export function readHttpSignature(name: string, section: Section, environment: Environment): SignatureIssuer {
  const keys = section.section("keys");
  const [maxAge, clockTolerance] = [section.milliseconds("signature_age"), section.milliseconds("clock_tolerance")];
  const reuse = section.choice<SignatureIssuer["reuse"]>("reuse");
  const agents = readAgents(section);
  return {
    name,
    type: "http-signature",
    // There is one of it: what is wrong with a signature need not say whose it is.
    issuer: "http-signature",
    credentials: ["signature"],
    ...(reuse === "refuse" && { countsOnceFor: maxAge + clockTolerance }),
    audiences: readAudiences(section),
    kinds: ["agent"],
    agents,
    maxAge,
    clockTolerance,
    reuse,
    keys: {
      refresh: keys.milliseconds("refresh"),
      cooldown: keys.milliseconds("cooldown"),
      maxStale: keys.milliseconds("max_stale"),
      maxSize: keys.bytes("max_size"),
      timeout: keys.milliseconds("timeout"),
    },
    ca: readCa(section),
    proxy: readProxy(section, environment),
  };
}

const RIGHT =
  "the whole https address of one directory of keys, without user, query and fragment, such as https://bot.example/.well-known/http-message-signatures-directory";

function readAgents(section: Section): readonly string[] {
  return section.texts("agents").map((text, index) => {
    const directory = directoryOf(text);
    if (directory === undefined || /[?#]/.test(text) || hasPlaceholder(text)) section.fault(["agents", index], RIGHT);
    return directory ?? text;
  });
}
