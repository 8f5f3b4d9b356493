/** One panel of the dashboard: a query, or several. */
export interface Panel {
  readonly title: string;
  /** PromQL, with the legend of its series. */
  readonly queries: readonly (readonly [expression: string, legend: string])[];
  /** Grafana's name of it. */
  readonly unit: "reqps" | "s" | "percentunit" | "short" | "ops" | "bytes" | "dtdurations";
  readonly about: string;
}

const quantile = (q: number, filter: string) =>
  `histogram_quantile(${q}, sum by (le) (rate(countersign_decision_duration_seconds_bucket{${filter}}[5m])))`;

/** Rows of panels, the most asked for first. */
export const ROWS: readonly { readonly title: string; readonly panels: readonly Panel[] }[] = [
  {
    title: "Decisions",
    panels: [
      {
        title: "Verdicts",
        queries: [["sum by (verdict) (rate(countersign_decisions_total[5m]))", "{{verdict}}"]],
        unit: "reqps",
        about: "Requests decided. What HAProxy refuses by itself is not among them.",
      },
      {
        title: "Why requests are refused",
        queries: [
          ['topk(10, sum by (reason) (rate(countersign_decisions_total{verdict!="allow"}[5m])) > 0)', "{{reason}}"],
        ],
        unit: "reqps",
        about: "The ten most frequent reasons; docs/reasons.md has the remedy of each.",
      },
      {
        title: "Time to a verdict, of known tokens",
        queries: [
          [quantile(0.5, 'cached="true"'), "half"],
          [quantile(0.99, 'cached="true"'), "99 of 100"],
        ],
        unit: "s",
        about: "From reading a request to handing over its answer.",
      },
      {
        title: "Time to a verdict, of new tokens",
        queries: [
          [quantile(0.5, 'cached="false"'), "half"],
          [quantile(0.99, 'cached="false"'), "99 of 100"],
        ],
        unit: "s",
        about: "These waited for the first verification of their token, and some for the provider.",
      },
      {
        title: "Shadow rules",
        queries: [["sum by (outcome) (rate(countersign_shadow_decisions_total[5m]))", "{{outcome}}"]],
        unit: "reqps",
        about: "What routes with a shadow would have decided: as they did, stricter or laxer.",
      },
    ],
  },
  {
    title: "Identities",
    panels: [
      {
        title: "Tokens that were known",
        queries: [
          [
            'sum(rate(countersign_identity_cache_lookups_total{outcome=~"hit|refusal_hit"}[5m])) / sum(rate(countersign_identity_cache_lookups_total[5m]))',
            "known",
          ],
        ],
        unit: "percentunit",
        about: "A known token costs microseconds, a new one a signature.",
      },
      {
        title: "Cached identities",
        queries: [["sum(countersign_cached_identities)", "identities"]],
        unit: "short",
        about: "At `cache.identities` those that were not asked for the longest go.",
      },
      {
        title: "Age of the issuers' keys",
        queries: [["time() - countersign_issuer_keys_last_success_timestamp_seconds", "{{issuer}}"]],
        unit: "dtdurations",
        about: "Past `keys.max_stale` an issuer's tokens are refused.",
      },
      {
        title: "Requests to issuers",
        queries: [["sum by (issuer, outcome) (rate(countersign_issuer_fetches_total[5m]))", "{{issuer}} {{outcome}}"]],
        unit: "ops",
        about: "Discovery and keys.",
      },
    ],
  },
  {
    title: "The agent",
    panels: [
      {
        title: "Event loop in use",
        queries: [["rate(countersign_event_loop_active_seconds_total[5m])", "{{instance}}"]],
        unit: "percentunit",
        about: "At 1 a core is used up: more workers, or more agents.",
      },
      {
        title: "Memory",
        queries: [["process_resident_memory_bytes", "{{instance}}"]],
        unit: "bytes",
        about: "Of the process; with several workers of the primary.",
      },
      {
        title: "Requests in flight, and connections",
        queries: [
          ["sum(countersign_requests_in_flight)", "requests"],
          ["sum(countersign_connections)", "connections"],
        ],
        unit: "short",
        about: "Bounded by `limits.in_flight` and `limits.connections`.",
      },
      {
        title: "What should not be",
        queries: [
          ["sum by (code) (rate(countersign_protocol_errors_total[5m])) > 0", "{{code}}"],
          ["sum(rate(countersign_notifies_unanswered_total[5m])) > 0", "unanswered"],
          ["sum(rate(countersign_log_lines_dropped_total[5m])) > 0", "log lines lost"],
        ],
        unit: "ops",
        about: "Empty where all is well.",
      },
      {
        title: "Policies in force",
        queries: [["count by (revision) (countersign_policies_info)", "{{revision}}"]],
        unit: "short",
        about: "Agents by revision: two for longer than a reload takes are two truths.",
      },
    ],
  },
];

/** Grafana's JSON model, as far as it is needed: a dashboard that is imported with a Prometheus data source. */
export function dashboard(): object {
  const width = 12;
  let y = 0;
  const panels: object[] = [];
  for (const { title, panels: row } of ROWS) {
    panels.push({
      id: panels.length + 1,
      type: "row",
      title,
      collapsed: false,
      gridPos: { h: 1, w: 24, x: 0, y },
      panels: [],
    });
    y += 1;
    for (const [index, panel] of row.entries()) {
      const gridPos = { h: 8, w: width, x: (index % 2) * width, y };
      panels.push(panelOf(panel, panels.length + 1, gridPos));
      if (index % 2 === 1 || index === row.length - 1) y += 8;
    }
  }
  return {
    title: "Countersign",
    uid: "countersign",
    schemaVersion: 39,
    tags: ["countersign"],
    time: { from: "now-3h", to: "now" },
    refresh: "30s",
    templating: {
      list: [{ name: "datasource", type: "datasource", query: "prometheus", label: "Data source", current: {} }],
    },
    panels,
  };
}

function panelOf({ title, queries, unit, about }: Panel, id: number, gridPos: object): object {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of Grafana's
  const datasource = { type: "prometheus", uid: "${datasource}" };
  return {
    id,
    type: "timeseries",
    title,
    description: about,
    gridPos,
    datasource,
    fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
    options: { legend: { displayMode: "list", placement: "bottom" }, tooltip: { mode: "multi" } },
    targets: queries.map(([expr, legendFormat], index) => ({
      refId: String.fromCharCode(65 + index),
      datasource,
      expr,
      legendFormat,
    })),
  };
}
