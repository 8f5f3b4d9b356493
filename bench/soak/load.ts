/**
 * The clients and the identity provider of a soak, as a program: its first argument is HAProxy's port, 0 for none yet.
 * It tells its parent the provider's URL, then every second what was answered since; `{ port }` begins the load, and
 * `{ end }` ends it, once the last of that is told.
 */
import { claimsOf, pathOf, REFUSED_PATH } from "../contestants/generated.ts";
import { AUDIENCE } from "../issuer.ts";
import { Connection, headOf, NONE } from "../load/connection.ts";
import { RotatingProvider } from "./provider.ts";
import { ANSWERS, type Answers, ROUTES } from "./site.ts";

const CONNECTIONS = 64;
/** After so many requests a client hangs up and comes again. */
const PER_CONNECTION = 2000;
/** New tokens a second; and seconds for which each is sent, and for which it holds. */
const NEW_TOKENS = 100;
const [SENT, HOLDS] = [60, 90];
/** Seconds between two rotations of the provider's keys: longer than a token holds, so that a good one always passes. */
const ROTATION = 120;

/** What is sent beside good tokens, and must never pass: one of so many requests of each. */
const BAD = 20;

interface Sent {
  readonly text: string;
  readonly good: boolean;
}

class Load {
  readonly #provider: RotatingProvider;
  readonly #tokens: string[] = [];
  readonly #under = new Map<Connection, Sent>();
  readonly #sent = new Map<Connection, number>();
  #made = 0;
  #count = 0;
  #answers: Answers = { ...ANSWERS };

  constructor(provider: RotatingProvider) {
    this.#provider = provider;
    for (let n = 0; n < NEW_TOKENS; n++) this.#another();
    setInterval(() => this.#churn(), 1000);
    setInterval(() => provider.rotate(), ROTATION * 1000);
  }

  begin(port: number): void {
    for (let n = 0; n < CONNECTIONS; n++) {
      this.#next(new Connection(port, (connection, status) => this.#answered(connection, status)));
    }
    setInterval(() => this.tell(), 1000);
  }

  /** Tells what was answered since the last time. @param told called when that has been sent */
  tell(told = () => {}): void {
    process.send?.({ answers: this.#answers }, told);
    this.#answers = { ...ANSWERS };
  }

  #churn(): void {
    for (let n = 0; n < NEW_TOKENS; n++) this.#another();
    this.#tokens.splice(0, Math.max(0, this.#tokens.length - SENT * NEW_TOKENS));
  }

  #another(): void {
    this.#tokens.push(this.#provider.token(AUDIENCE, HOLDS, claimsOf(this.#made++)));
  }

  #next(connection: Connection): void {
    const sent = this.#request();
    const times = (this.#sent.get(connection) ?? 0) + 1;
    if (times % PER_CONNECTION === 0) connection.close();
    this.#sent.set(connection, times);
    this.#under.set(connection, sent);
    connection.send(headOf(sent.text), 0);
  }

  #answered(connection: Connection, status: number): void {
    const good = this.#under.get(connection)?.good === true;
    const answers = this.#answers;
    answers.requests++;
    if (status === NONE) answers.unanswered++;
    else if (status === 200) answers[good ? "allowed" : "passed"]++;
    else answers[good ? "mistaken" : "refused"]++;
    this.#next(connection);
  }

  #request(): Sent {
    const n = this.#count++;
    if (n % BAD === 0) return { text: this.#bad(n / BAD), good: false };
    const token = this.#tokens[Math.floor(Math.random() * this.#tokens.length)];
    return { text: `${pathOf(ROUTES)} Authorization: Bearer ${token}`, good: true };
  }

  #bad(n: number): string {
    const path = pathOf(ROUTES);
    const claims = claimsOf(n);
    const provider = this.#provider;
    const bearing = (token: string) => `${path} Authorization: Bearer ${token}`;
    switch (n % 6) {
      case 0:
        return bearing(provider.forged(AUDIENCE, undefined, claims));
      case 1:
        return bearing(provider.forged(AUDIENCE, `key-${n}`, claims));
      case 2:
        return bearing(provider.token(AUDIENCE, -60, claims));
      case 3:
        return bearing(provider.token("api://others", HOLDS, claims));
      case 4:
        return `${REFUSED_PATH} Authorization: Bearer ${this.#tokens[0]}`;
      default:
        return `${path} X-Nothing: at all`;
    }
  }
}

const provider = await RotatingProvider.start();
const load = new Load(provider);
process.on("message", (message: { readonly port: number } | { readonly end: true }) => {
  if ("port" in message) load.begin(message.port);
  else load.tell(() => process.exit());
});
process.on("disconnect", () => process.exit());
process.send?.({ url: provider.url });
