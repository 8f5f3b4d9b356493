import { DECISION_FIELDS, type DecisionRecord } from "../../../records/decision.ts";
import { VERSION } from "../../processes/version.ts";

/** How an export is written: text before all rows, and each row with its line feed. */
export interface Format {
  readonly head: string;
  readonly row: (record: DecisionRecord) => string;
}

const COLUMNS = Object.entries(DECISION_FIELDS)
  .filter(([, field]) => field.type !== "mapping")
  .map(([name]) => name) as readonly (keyof DecisionRecord)[];

/** Formats by the word of --format. */
export const FORMATS: Readonly<Record<string, Format>> = {
  json: { head: "", row: (record) => `${JSON.stringify(record)}\n` },
  csv: { head: `${COLUMNS.join(",")}\r\n`, row: csvRow },
  ocsf: { head: "", row: (record) => `${JSON.stringify(ocsf(record))}\n` },
  cef: { head: "", row: cefRow },
};

/** RFC 4180. What a spreadsheet would take for a formula begins with an apostrophe. */
function csvRow(record: DecisionRecord): string {
  const cells = COLUMNS.map((name) => {
    const value = record[name];
    const text = value === undefined || value === null ? "" : String(value);
    const plain = /^[=+\-@\t\r]/.test(text) && typeof value === "string" ? `'${text}` : text;
    return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  });
  return `${cells.join(",")}\r\n`;
}

/** OCSF 1.7, class Web Resources Activity (6001), with the profile Security Control. */
function ocsf(record: DecisionRecord): object {
  const { time, request_id, src, method, host, path, issuer, subject, rule, verdict, status, reason, revision } =
    record;
  const allowed = verdict === "allow";
  return {
    class_uid: 6001,
    category_uid: 6,
    activity_id: 99,
    activity_name: method,
    type_uid: 600199,
    severity_id: allowed ? 1 : 2,
    time: Date.parse(time),
    message: reason,
    status_id: allowed ? 1 : 2,
    status_code: String(status),
    status_detail: reason,
    action_id: allowed ? 1 : 2,
    disposition_id: allowed ? 1 : 2,
    policy: { name: rule, uid: revision },
    src_endpoint: { ip: src },
    http_request: { http_method: method, url: { hostname: host, path } },
    web_resources: [{ name: path }],
    ...(subject === undefined ? {} : { actor: { user: { uid: subject, domain: issuer } } }),
    metadata: {
      version: "1.7.0",
      profiles: ["security_control"],
      correlation_uid: request_id,
      product: { name: "Countersign", vendor_name: "Countersign", version: VERSION },
    },
  };
}

function cefRow(record: DecisionRecord): string {
  const { time, request_id, src, method, host, path, subject = "", rule, verdict, reason, revision } = record;
  const header = (text: string) => text.replace(/[\\|]/g, "\\$&").replace(/[\r\n]+/g, " ");
  const value = (text: string) => text.replace(/[\\=]/g, "\\$&").replace(/\r/g, "\\r").replace(/\n/g, "\\n");
  const severity = verdict === "allow" ? 1 : 5;
  const fields: Readonly<Record<string, string>> = {
    rt: String(Date.parse(time)),
    src,
    requestMethod: method,
    request: path,
    dhost: host,
    suser: subject,
    act: verdict,
    reason,
    externalId: request_id,
    cs1Label: "rule",
    cs1: rule,
    cs2Label: "revision",
    cs2: revision,
  };
  const extension = Object.entries(fields).map(([name, text]) => `${name}=${value(text)}`);
  return `CEF:0|Countersign|countersign|${header(VERSION)}|${header(reason)}|decision|${severity}|${extension.join(" ")}\n`;
}
