import { Connections } from "../../http/connections.ts";
import { exchange } from "../../http/exchange.ts";
import { FetchError } from "../../http/fetch-error.ts";
import type { Evidence } from "../issuer/evidence.ts";
import type { Basis, Finding, Issuer, IssuerReport, IssuerType, Unproven } from "../issuer/issuer.ts";
import type { World } from "../issuer/world.ts";
import { type Answer, type Caller, READ_STATUSES, readAnswer } from "./answer.ts";
import { principalOf } from "./caller.ts";
import { PREFIX, type Presigned, readPresigned, timesFault } from "./presigned.ts";
import { Rate } from "./rate.ts";
import { type AwsIamIssuer, readAwsIam } from "./section.ts";

/** Roles and users of AWS, by requests to STS that they have signed: `aws eks get-token`, aws-iam-authenticator. */
export const AWS_IAM: IssuerType<AwsIamIssuer> = {
  revocable: ["role_session"],
  read: readAwsIam,
  create: (config, world) => new AwsIamVerifier(config, world),
};

/** Requests to STS under way at a time. They have bounds of their own: a slow STS keeps nobody else's keys waiting. */
const MOST_ASKED = 128;
/** Bytes; the longest that STS sends has some 2,000. */
const LARGEST_ANSWER = 16_384;

const UNAVAILABLE: Unproven = { reason: "issuer-unavailable" };
const OVERLOADED: Unproven = { reason: "overloaded" };

/** The roles and users of some accounts. Whatever is known of them ends with the token that proved it. */
class AwsIamVerifier implements Issuer {
  readonly config: AwsIamIssuer;
  readonly version = 0;
  readonly #world: World;
  readonly #rate: Rate;
  readonly #basis: Basis = { until: Number.POSITIVE_INFINITY, identities: 0 };
  readonly #connections = new Connections();
  /** What ends each request to STS that is under way. */
  readonly #asked = new Set<AbortController>();
  #ended = false;
  #succeededAt: number | undefined;
  #failedAt: number | undefined;
  #error: string | undefined;

  constructor(config: AwsIamIssuer, world: World) {
    this.config = config;
    this.#world = world;
    this.#rate = new Rate(config.sts.rate, config.sts.strangers, world.clock());
  }

  get patience(): number {
    return this.config.sts.timeout;
  }

  owns({ text }: Evidence): boolean {
    return text.startsWith(PREFIX);
  }

  /** Everything that can be told without STS is told before it is asked. */
  verify({ text }: Evidence, now: number): Unproven | Promise<Finding> {
    const { endpoints, serverId } = this.config;
    const request = readPresigned(text, { endpoints, header: serverId.header });
    if ("reason" in request) return request;
    const fault = timesFault(request.signedAt, this.config, now);
    if (fault !== undefined) return fault;
    if (this.#ended) return UNAVAILABLE;
    if (this.#asked.size >= MOST_ASKED || !this.#rate.admits(request.accessKeyId, now)) return OVERLOADED;
    return this.#ask(request);
  }

  /** Nobody can be asked before somebody comes. */
  ready(): Promise<void> {
    return Promise.resolve();
  }

  status(): IssuerReport {
    return {
      identities: this.#basis.identities,
      succeededAt: this.#succeededAt,
      failedAt: this.#failedAt,
      error: this.#error,
      details: { accounts: this.config.arns.accounts.length, endpoints: Object.keys(this.config.endpoints).length },
    };
  }

  close(): void {
    this.#basis.until = 0;
    this.#ended = true;
    for (const request of this.#asked) request.abort();
    this.#connections.close();
  }

  async #ask(request: Presigned): Promise<Finding> {
    const { clock, events } = this.#world;
    const { name } = this.config;
    const begun = clock();
    const answer = await this.#answer(request);
    if (this.#ended) return UNAVAILABLE;
    const outcome = "caller" in answer ? this.#found(answer.caller, request) : answer;
    const error = "error" in outcome ? outcome.error : undefined;
    const trouble = "undecided" in outcome ? outcome.undecided : error;
    events.fetched(name, "sts", trouble === undefined ? "ok" : "error", clock() - begun, trouble);
    this.#note(error);
    if ("error" in outcome || "undecided" in outcome) return UNAVAILABLE;
    return "refusal" in outcome ? outcome.refusal : outcome;
  }

  /** STS is asked for nobody but us, as the sender has signed it: with our name, whatever his token says. */
  async #answer({ url }: Presigned): Promise<Answer> {
    const { schedule, send } = this.#world;
    const { ca, proxy, sts, serverId } = this.config;
    const abort = new AbortController();
    this.#asked.add(abort);
    const cancel = schedule(sts.timeout, () => abort.abort());
    const bounds = { signal: abort.signal, ca, proxy, maxSize: LARGEST_ANSWER, connections: this.#connections };
    const headers = { accept: "application/json", [serverId.header]: serverId.value };
    try {
      return readAnswer(await exchange(send, url, bounds, { headers, reads: READ_STATUSES }));
    } catch (error) {
      return { error: error instanceof FetchError ? error.message : "failed" };
    } finally {
      cancel();
      this.#asked.delete(abort);
    }
  }

  #found(caller: Caller, request: Presigned): Finding | { readonly error: string } {
    const now = this.#world.clock();
    const principal = principalOf(caller, this.config, request);
    if ("error" in principal) return principal;
    if ("reason" in principal) return { ...principal, lasting: true };
    this.#rate.prove(request.accessKeyId, now);
    // Time has passed.
    return now < principal.expiresAt ? { principal, basis: this.#basis } : { reason: "token-expired" };
  }

  /** Whatever STS answers, it answers: what is the matter with one account is not the matter with STS. */
  #note(error: string | undefined): void {
    const now = this.#world.clock();
    if (error === undefined) this.#succeededAt = now;
    else this.#failedAt = now;
    this.#error = error;
  }
}
