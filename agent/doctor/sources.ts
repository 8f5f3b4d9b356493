import type { X509Certificate } from "node:crypto";
import type { Exported } from "../../linkerd/export.ts";
import type { Service } from "../../policies/policies.ts";
import type { Config } from "../config/config.ts";
import type { Samples } from "./exposition.ts";

/** A PEM file with certificates, and perhaps a key. */
export interface CertificateFile {
  readonly file: string;
  /** In the order of the file. */
  readonly certificates: readonly X509Certificate[];
  /** Whether its key is the first certificate's; undefined where the file has none. */
  readonly keyFits: boolean | undefined;
}

/** An endpoint that has answered, and how far its clock is ahead of this one, in milliseconds; undefined where it does not say. */
export interface Endpoint<Content> {
  readonly url: string;
  readonly content: Content;
  readonly skew: number | undefined;
}

/** The parts of /status that are looked at. */
export interface AgentStatus {
  readonly revision: string | null;
  readonly phase: string;
  readonly problems: readonly string[];
  readonly pipeliningAdvice: string | null;
  readonly linesDropped: number;
}

/** What there is to look at. What is undefined was not given, or cannot be had, and is told as not looked at. */
export interface Sources {
  readonly config: Config;
  readonly services: readonly Service[];
  readonly revision: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** HAProxy's frontend certificates. */
  readonly certificates: readonly CertificateFile[] | undefined;
  readonly anchors: CertificateFile | undefined;
  readonly meshIssuer: CertificateFile | undefined;
  readonly agent: Endpoint<AgentStatus> | undefined;
  /** The metrics of the Linkerd proxy beside HAProxy. */
  readonly proxy: Endpoint<Samples> | undefined;
  /** The issuers that were asked, by name. */
  readonly issuers: readonly Endpoint<string>[] | undefined;
  readonly exported: readonly Exported[] | undefined;
  /** HAProxy's files as they are and as they would be rendered, by name. */
  readonly haproxy:
    | readonly { readonly file: string; readonly is: string | undefined; readonly right: string }[]
    | undefined;
}
