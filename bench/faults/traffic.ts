import { generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto";
import type { RunningProvider } from "../../demo/provider.ts";

export const HOST = "orders.example.com";
export const POLICY = (route: string) => `roles:
  reader: [{ issuer: idp, group: readers }]
  administrator: [{ issuer: idp, group: administrators }]
services:
  orders:
    hosts: [${HOST}]
    backend: orders
    headers: { x-auth-subject: principal.subject }
    routes:
      - { name: ${route}, match: ["GET /v1/orders/{id}"], allow: [reader] }
      - { name: administration, match: [GET /v1/administration], allow: [administrator] }
`;

/** A request, and what its sender knows of it. */
export interface Request {
  readonly line: string;
  readonly fields: readonly string[];
  /** Who it may be let in as; undefined where nobody may let it in. */
  readonly subject: string | undefined;
}

const LINE = "GET /v1/orders/42 HTTP/1.1";
const STAFF = ["alice", "bob", "carol"];
const HOUR = 3600;

/** The same numbers each time: xorshift, 32 bits. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }
}

/**
 * Who asks for what: mostly people who may, some of them for the first time, and beside them every kind of those who
 * may not. All of them claim to be somebody else in a header.
 */
export class Traffic {
  readonly #provider: RunningProvider;
  readonly #dice: Dice;
  readonly #stranger: KeyObject = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  #known: readonly Request[] = [];
  #refused: readonly Request[] = [];
  #strangers = 0;
  /** Of a hundred requests, those of somebody who was never here. */
  fresh = 5;

  constructor(provider: RunningProvider, seed: number) {
    this.#provider = provider;
    this.#dice = new Dice(seed);
  }

  /** Takes tokens that the provider signs now. */
  async renew(): Promise<void> {
    const tokens = await Promise.all(STAFF.map((name) => this.#token({ sub: name })));
    this.#known = tokens.map((token, i) => request(LINE, STAFF[i], token));
    const [good = ""] = tokens;
    const [head = "", body = "", signature = ""] = good.split(".");
    const other = Buffer.from(body, "base64url").toString().replace("alice", "admin");
    const bad: readonly (string | undefined)[] = [
      undefined,
      "x",
      "",
      `${head}.${Buffer.from(other).toString("base64url")}.${signature}`,
      `${head}.${body}.${signature.slice(0, -8)}AAAAAAAA`,
      await this.#token({ sub: "mallory", aud: "api://others" }),
      await this.#token({ sub: "mallory", exp: Math.floor(Date.now() / 1000) - 9 * HOUR }),
      await this.#token({ sub: "mallory", iss: "https://evil.example" }),
      await this.#token({ sub: "dave", groups: [] }),
      this.#forged(head),
    ];
    this.#refused = [
      ...bad.map((token) => request(LINE, undefined, token)),
      request("GET /v1/administration HTTP/1.1", undefined, good),
      request("GET /v1/unknown HTTP/1.1", undefined, good),
      request("DELETE /v1/orders/42 HTTP/1.1", undefined, good),
    ];
  }

  async next(): Promise<Request> {
    const number = this.#dice.below(100);
    if (number < this.fresh) return await this.#newcomer();
    const list = number < 75 ? this.#known : this.#refused;
    return list[this.#dice.below(list.length)] ?? request(LINE, undefined, undefined);
  }

  /** One that is let in while nothing is wrong. */
  good(): Request {
    return this.#known[0] ?? request(LINE, undefined, undefined);
  }

  async #newcomer(): Promise<Request> {
    const sub = `newcomer-${++this.#strangers}`;
    return request(LINE, sub, await this.#token({ sub, jti: randomUUID() }));
  }

  #token(claims: Readonly<Record<string, unknown>>): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const whole = {
      iss: this.#provider.issuer,
      aud: "api://orders",
      groups: ["readers"],
      iat: now,
      exp: now + HOUR / 2,
    };
    return this.#provider.sign({ ...whole, ...claims }, {}, "ES256");
  }

  /** With the name of a key that is known, by another. */
  #forged(head: string): string {
    const claims = { iss: this.#provider.issuer, aud: "api://orders", groups: ["readers"], sub: "admin", exp: 9e9 };
    const header = { ...JSON.parse(Buffer.from(head, "base64url").toString()), alg: "RS256" };
    const text = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
    return `${text}.${sign("sha256", Buffer.from(text), this.#stranger).toString("base64url")}`;
  }
}

function request(line: string, subject: string | undefined, token: string | undefined): Request {
  const credential = token === undefined ? [] : [`authorization: Bearer ${token}`];
  return { line, subject, fields: [`host: ${HOST}`, "x-auth-subject: admin", "x-request-id: mine", ...credential] };
}
