import type { TapFilter, Tapped } from "../telemetry/taps.ts";
import { jsonPage, PageListener, type Pages } from "../web/page-listener.ts";
import { type AdminState, readiness, statusReport } from "./status.ts";
import { tapPage } from "./tap-page.ts";

/** Prometheus' text format. */
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Where the pages come from. */
export interface Sources {
  state(): AdminState | Promise<AdminState>;
  /** Prometheus' text format. */
  metrics(): Promise<string>;
  /** What was decided since the same tap was asked for; undefined where there are too many others. */
  tap(name: string, filter: TapFilter): Tapped | undefined | Promise<Tapped | undefined>;
}

/** The admin listener: /live, /ready, /metrics, /status and /tap. It changes nothing and knows no secrets. */
export class AdminListener extends PageListener {
  constructor(sources: Sources, failed: (error: unknown) => void, limit?: number, script?: URL) {
    super(pagesOf(sources), failed, limit, script, { "/tap": (query) => tapPage(query, sources) });
  }
}

function pagesOf(sources: Sources): Pages {
  return {
    "/live": () => jsonPage(200, { live: true }),
    "/ready": async () => {
      const body = readiness(await sources.state());
      return jsonPage(body.ready ? 200 : 503, body);
    },
    "/metrics": async () => ({ status: 200, type: METRICS_TYPE, body: await sources.metrics() }),
    "/status": async () => jsonPage(200, statusReport(await sources.state())),
  };
}
