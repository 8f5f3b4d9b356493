import { isMapping } from "../../../policies/claim-path.ts";
import { spellingsOf } from "../../config/config.ts";
import type { HttpAnswer } from "../../http/fetch.ts";
import { failed } from "../../http/fetch-error.ts";
import { type Claims, isDate, stringsOf } from "../claims/claims.ts";
import type { Token } from "../issuer/evidence.ts";
import type { World } from "../issuer/world.ts";
import type { Key } from "../jwt/key.ts";
import { parseToken } from "../jwt/token.ts";
import { KeySet } from "../oidc/keys.ts";
import { mediaType } from "./answer.ts";
import type { IntrospectionIssuer } from "./section.ts";

/** RFC 9701, section 5. */
export const SIGNED_TYPE = "application/token-introspection+jwt";
const TYPE = "token-introspection+jwt";

/** Answers that are JWTs (RFC 9701), checked with the issuer's keys. */
export class SignedAnswers {
  readonly #config: IntrospectionIssuer;
  readonly #world: World;
  readonly #keys: KeySet;
  readonly #asked: Promise<void>;

  constructor(config: IntrospectionIssuer, world: World) {
    this.#config = config;
    this.#world = world;
    this.#keys = new KeySet(config, world);
    this.#asked = this.#keys.refresh();
  }

  /** Settles when the keys were asked for once. */
  async ready(): Promise<void> {
    await Promise.all([this.#world.signatures.start(), this.#asked]);
  }

  close(): void {
    this.#keys.close();
  }

  /**
   * What a signed answer says of the token.
   *
   * @throws {FetchError} where it is not signed by the issuer, for this client, and lately
   */
  async read(url: URL, answer: HttpAnswer): Promise<Claims> {
    if (answer.status !== 200) throw failed(url, `status ${answer.status} instead of 200`);
    if (mediaType(answer) !== SIGNED_TYPE)
      throw failed(url, `the answer is not signed: its type is not ${SIGNED_TYPE}`);
    const token = parseToken(answer.body.toString("latin1"));
    if (typeof token === "string") throw failed(url, `the answer is no JWT that can be read: ${token}`);
    const said = token.claims.token_introspection;
    const problem = this.#problem(token) ?? (isMapping(said) ? undefined : "it says nothing of the token");
    if (problem !== undefined || !isMapping(said)) throw failed(url, `the signed answer is not for here: ${problem}`);
    if (!(await this.#isSigned(url, token))) throw failed(url, "the answer's signature is not the issuer's");
    return said;
  }

  #problem({ type, algorithm, claims: { iss, aud, iat } }: Token): string | undefined {
    const { algorithms, audiences, client, clockTolerance, timeout } = this.#config;
    if (type !== TYPE) return `its typ is not ${TYPE}`;
    if (!algorithms.includes(algorithm)) return "its algorithm is not among the issuer's `algorithms`";
    if (!spellingsOf(this.#config).some((name) => name === iss)) return "it is another issuer's";
    // Some name the client that asks, some what the token is for.
    if (!stringsOf(aud)?.some((each) => each === client.id || audiences.includes(each)))
      return "its aud is somebody else";
    const age = this.#world.clock() - (isDate(iat) ? iat * 1000 : Number.NaN);
    if (age >= -clockTolerance && age < clockTolerance + timeout) return undefined;
    return "it has no iat, or was made too long ago, or is yet to be made";
  }

  async #isSigned(url: URL, token: Token): Promise<boolean> {
    for (const key of await this.#keysFor(url, token)) {
      const { text, algorithm } = token;
      if ((await this.#world.signatures.check(text, algorithm, key)) === true) return true;
    }
    return false;
  }

  async #keysFor(url: URL, { algorithm, kid, claims: { iat } }: Token): Promise<readonly Key[]> {
    const now = this.#world.clock();
    const wanted = { algorithm, kid, issuedAt: typeof iat === "number" ? iat : undefined, arrivedAt: now };
    let selection = this.#keys.select(wanted, now);
    if ("pending" in selection) {
      await selection.pending;
      selection = this.#keys.reselect(wanted, this.#world.clock());
    }
    if ("reason" in selection) throw failed(url, `the answer's key cannot be had: ${selection.reason}`);
    return "keys" in selection ? selection.keys : [];
  }
}
