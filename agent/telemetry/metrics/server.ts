import type { Registry } from "prom-client";
import { type Cell, Tally } from "./cells.ts";

/** The SPOP connections. */
export class ServerMetrics {
  readonly #opened: Cell;
  readonly #closed: Cell;
  readonly #checks: Cell;
  readonly #errors: ReadonlyMap<string, Cell>;
  readonly #otherError: Cell;
  readonly #unanswered: Cell;

  /** @param errorCodes all codes that an ended connection can have */
  constructor(registry: Registry, errorCodes: readonly string[]) {
    const single = (name: string, help: string) => new Tally(registry, name, help, []).cell({});
    this.#opened = single("countersign_connections_opened_total", "SPOP connections accepted.");
    this.#closed = single("countersign_connections_closed_total", "SPOP connections ended.");
    this.#checks = single("countersign_health_checks_total", "Health checks of HAProxy (option spop-check).");
    this.#unanswered = single("countersign_notifies_unanswered_total", "NOTIFYs that HAProxy had given up on.");
    const errors = new Tally(
      registry,
      "countersign_protocol_errors_total",
      "Frames that could not be read, and refused TLS.",
      ["code"],
    );
    this.#otherError = errors.cell({ code: "other" });
    this.#errors = new Map(errorCodes.map((code) => [code, errors.cell({ code })]));
  }

  connected(): void {
    this.#opened.count++;
  }

  disconnected(): void {
    this.#closed.count++;
  }

  healthCheck(): void {
    this.#checks.count++;
  }

  /** @returns the code as it is counted: `other` for one that is not in the list */
  protocolError(code: string): string {
    const cell = this.#errors.get(code);
    (cell ?? this.#otherError).count++;
    return cell === undefined ? "other" : code;
  }

  dropped(count: number): void {
    this.#unanswered.count += count;
  }
}
