import type { DecisionRecord } from "../../../records/decision.ts";
import { plainText } from "../../telemetry/safe-text.ts";

const GREEN = "\u001b[32m";
const RED = "\u001b[31m";
const PLAIN = "\u001b[0m";
const LONGEST = 200;

/** One decision for a person who looks on, in one line. */
export function tappedText(record: DecisionRecord, colours: boolean): string {
  const { time, method, host, path, src, rule, request_id, duration_us } = record;
  const parts = [
    shown(time).slice(11, 23),
    verdictText(record, colours),
    rule === "" ? "no rule" : shown(rule),
    `${shown(method)} ${shown(host)}${shown(path)}`,
    whoText(record),
    shown(src),
    `${duration_us} us`,
    shown(request_id),
  ];
  return `${parts.join("  ")}\n`;
}

function verdictText(
  { verdict, status, reason, claim, shadow_reason, shadow_verdict }: DecisionRecord,
  colours: boolean,
) {
  const about = claim === undefined ? "" : ` (${shown(claim)})`;
  const shadow =
    shadow_verdict === undefined || shadow_verdict === verdict ? "" : ` [shadow: ${shown(shadow_reason ?? "")}]`;
  const text = `${shown(verdict).padEnd(5)} ${status} ${shown(reason)}${about}${shadow}`;
  return colours ? `${verdict === "allow" ? GREEN : RED}${text}${PLAIN}` : text;
}

function whoText({ subject, issuer, actor }: DecisionRecord): string {
  if (subject === undefined) return "nobody known";
  const acting = actor === undefined ? "" : ` by ${actor === null ? "somebody unknown" : shown(actor)}`;
  return `${shown(subject)} of ${shown(issuer ?? "")}${acting}`;
}

/** Control characters of a request would steer the terminal. */
function shown(text: string): string {
  return plainText(text, LONGEST);
}
