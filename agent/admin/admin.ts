import { jsonPage, PageListener, type Pages } from "../web/page-listener.ts";
import { type AdminState, readiness, statusReport } from "./status.ts";

/** Prometheus' text format. */
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Where the pages come from. */
export interface Sources {
  state(): AdminState | Promise<AdminState>;
  /** Prometheus' text format. */
  metrics(): Promise<string>;
}

/** The admin listener: /live, /ready, /metrics and /status. It changes nothing and knows no secrets. */
export class AdminListener extends PageListener {
  constructor(sources: Sources, ...more: Tail<ConstructorParameters<typeof PageListener>>) {
    super(pagesOf(sources), ...more);
  }
}

type Tail<Parameters extends readonly unknown[]> = Parameters extends [unknown, ...infer Rest] ? Rest : never;

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
