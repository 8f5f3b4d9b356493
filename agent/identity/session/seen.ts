import type { SessionBinding } from "../issuer/issuer.ts";
import type { Session, SessionCookies } from "./session.ts";

/** Of the idle time the part after which the browser is told anew that its session was seen. */
const RENEWED_AFTER = 1 / 10;

/** When a session's person is to be asked about anew, and who is told so. */
export interface Refresh {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly tell: () => void;
}

/**
 * What a session is held to with every request: its host, and when it was last seen. It keeps nothing else of the
 * session, and of what was told the last that was true, which then comes again and again. That it is to be refreshed it
 * tells once, and only when it is used.
 */
export class SeenSession implements SessionBinding {
  readonly host: string;
  readonly #id: string;
  readonly #begunAt: number;
  readonly #idle: number;
  readonly #cookies: SessionCookies;
  #refresh: Refresh | undefined;
  #last = "";
  #lastAt: number;

  /** @param idle milliseconds @param refresh default: never */
  constructor({ id, host, begunAt }: Session, idle: number, cookies: SessionCookies, refresh?: Refresh) {
    this.host = host;
    this.#id = id;
    this.#begunAt = begunAt;
    this.#idle = idle;
    this.#cookies = cookies;
    this.#refresh = refresh;
    this.#lastAt = begunAt;
  }

  use(seen: string, now: number): string | undefined {
    const idleFor = now - this.#seenAt(seen);
    if (idleFor >= this.#idle) return "over";
    if (this.#refresh !== undefined && now >= this.#refresh.at) {
      this.#refresh.tell();
      this.#refresh = undefined;
    }
    return idleFor > this.#idle * RENEWED_AFTER ? this.#cookies.sealSeen(this.#id, now) : undefined;
  }

  #seenAt(seen: string): number {
    if (seen === this.#last) return this.#lastAt;
    const at = this.#cookies.openSeen(seen, this.#id);
    if (at === undefined) return this.#begunAt;
    this.#last = seen;
    this.#lastAt = Math.max(this.#begunAt, at);
    return this.#lastAt;
  }
}
