import { OPEN_METRICS } from "../telemetry/metrics/open-metrics.ts";
import type { TapFilter, Tapped } from "../telemetry/taps.ts";
import { jsonPage, PageListener, type PageOptions, type Pages } from "../web/page-listener.ts";
import { type AdminState, readiness, statusReport } from "./status.ts";
import { tapPage } from "./tap-page.ts";

/** Prometheus' text format. */
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

const OPEN_TYPE = `${OPEN_METRICS}; version=1.0.0; charset=utf-8`;

/** Where the pages come from. */
export interface Sources {
  state(): AdminState | Promise<AdminState>;
  /** Prometheus' text format. */
  metrics(): Promise<string>;
  /** OpenMetrics, with exemplars. */
  openMetrics(): Promise<string>;
  /** What was decided since the same tap was asked for; undefined where there are too many others. */
  tap(name: string, filter: TapFilter): Tapped | undefined | Promise<Tapped | undefined>;
}

/** The admin listener: /live, /ready, /metrics, /status and /tap. It changes nothing and knows no secrets. */
export class AdminListener extends PageListener {
  constructor(sources: Sources, options: PageOptions) {
    super(pagesOf(sources), { ...options, own: { "/tap": (query) => tapPage(query, sources) } });
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
    [`/metrics ${OPEN_METRICS}`]: async () => ({ status: 200, type: OPEN_TYPE, body: await sources.openMetrics() }),
    "/status": async () => jsonPage(200, statusReport(await sources.state())),
  };
}
