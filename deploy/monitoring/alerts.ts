/** One alert. docs/observability.md lists them; `npm run monitoring` writes alerts.yaml from them. */
export interface Alert {
  readonly name: string;
  /** PromQL. */
  readonly expression: string;
  /** How long it has to hold before somebody is told. */
  readonly after: string;
  readonly severity: "critical" | "warning" | "info";
  /** What it means, in one clause. */
  readonly because: string;
  /** What to do. */
  readonly remedy: string;
}

export const ALERTS: readonly Alert[] = [
  {
    name: "CountersignAbsent",
    expression: "absent(countersign_build_info)",
    after: "5m",
    severity: "critical",
    because: "no agent is scraped: where none answers, HAProxy refuses everything",
    remedy:
      "look at the pods and at the scrape configuration; HAProxy's own 503 with agent-unavailable tell how bad it is",
  },
  {
    name: "CountersignRefusesForItself",
    expression:
      'sum by (reason) (rate(countersign_decisions_total{reason=~"agent-error|deadline-exceeded|overloaded|message-malformed|haproxy-config-outdated"}[5m])) > 0',
    after: "5m",
    severity: "critical",
    because: "requests are refused that nobody meant to refuse",
    remedy: "docs/reasons.md has the remedy of each reason; haproxy-config-outdated wants haproxy.cfg generated anew",
  },
  {
    name: "CountersignStarved",
    expression:
      "rate(countersign_notifies_unanswered_total[5m]) > 0 or rate(countersign_event_loop_active_seconds_total[5m]) > 0.8",
    after: "5m",
    severity: "critical",
    because: "the agent has too little CPU",
    remedy: "remove its CPU limit, give it more, or configure more workers",
  },
  {
    name: "CountersignReloadFailed",
    expression: "countersign_last_reload_successful == 0",
    after: "5m",
    severity: "warning",
    because: "somebody's change is not in force",
    remedy: "the log and /status name file, line and column of every fault",
  },
  {
    name: "CountersignCertificateEnds",
    expression:
      "countersign_spop_certificate_end_timestamp_seconds > 0 and countersign_spop_certificate_end_timestamp_seconds - time() < 3 * 86400",
    after: "5m",
    severity: "critical",
    because: "once the agent's certificate has ended, HAProxy asks it nothing more, and refuses everything",
    remedy: "renew the file in listen.spop[].tls.cert: it is read at once; see why it was not renewed",
  },
  {
    name: "CountersignKeysUnusable",
    expression: "countersign_issuer_keys_unusable > 0",
    after: "15m",
    severity: "warning",
    because: "an issuer publishes keys that cannot be used; `/status` says why",
    remedy: "tokens signed with them are refused: have the provider mend them before it signs with them",
  },
  {
    name: "CountersignKeysOld",
    expression: "time() - countersign_issuer_keys_last_success_timestamp_seconds > 3600",
    after: "5m",
    severity: "warning",
    because: "keys are old; after `max_stale` the issuer's tokens are refused",
    remedy: "the issuer's error stands in /status: the network, its certificate, or the provider itself",
  },
  {
    name: "CountersignLogLinesLost",
    expression: "rate(countersign_log_lines_dropped_total[5m]) > 0",
    after: "5m",
    severity: "warning",
    because: "the decision log has gaps",
    remedy: "whoever reads the agent's standard output is too slow, or stands still",
  },
  {
    name: "CountersignShadowDiffers",
    expression: 'sum by (outcome) (rate(countersign_shadow_decisions_total{outcome!="agrees"}[1h])) > 0',
    after: "1h",
    severity: "info",
    because: "a shadow rule would decide otherwise than the one in force",
    remedy: "the decision log has shadow_verdict and shadow_reason of each such request",
  },
];
