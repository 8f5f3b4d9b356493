import { constants, X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { DerError } from "../identity/certificate/der.ts";
import { readCertificate } from "../identity/certificate/x509.ts";
import type { ListenerTls } from "../net/address.ts";

/** Why a connection was not let in. */
export const TLS_REFUSALS = [
  "TLS_CERTIFICATE_MISSING",
  "TLS_CERTIFICATE_EXPIRED",
  "TLS_CERTIFICATE_UNTRUSTED",
  "TLS_CERTIFICATE_NAME",
  "TLS_HANDSHAKE_FAILED",
  "TLS_HANDSHAKE_TIMEOUT",
  "TLS_HANDSHAKES_TOO_MANY",
] as const;
export type TlsRefusal = (typeof TLS_REFUSALS)[number];

/** Handshakes under way at once. HAProxy opens bursts of some 150 connections; each of them takes milliseconds. */
const MOST_HANDSHAKES = 256;

/** What Node and OpenSSL call it; anything else is a handshake that failed. */
const CAUSES: Readonly<Record<string, TlsRefusal>> = {
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: "TLS_CERTIFICATE_MISSING",
  ERR_TLS_HANDSHAKE_TIMEOUT: "TLS_HANDSHAKE_TIMEOUT",
  CERT_HAS_EXPIRED: "TLS_CERTIFICATE_EXPIRED",
};

export interface TlsDoorOptions {
  readonly tls: ListenerTls;
  /** Milliseconds for a handshake. */
  readonly timeout: number;
  readonly admitted: (socket: TLSSocket) => void;
  readonly refused: (why: TlsRefusal) => void;
}

/** The TLS before a listener: whoever has no certificate of its authorities, with one of its names, is not let in. */
export class TlsDoor {
  readonly #server: Server;
  readonly #options: TlsDoorOptions;
  #tls: ListenerTls;
  /** Handshakes under way by the client's address, the first one first. */
  readonly #pending = new Map<string, Socket>();

  constructor(options: TlsDoorOptions) {
    this.#options = options;
    this.#tls = options.tls;
    this.#server = createServer({
      ...contextOf(options.tls),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: options.timeout,
    });
    this.#server.on("secureConnection", (socket) => this.#secured(socket));
    this.#server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => this.#failed(error, socket));
  }

  /** Milliseconds since the epoch at which the certificate that it shows ends. */
  get until(): number {
    return new X509Certificate(this.#tls.cert).validToDate.getTime();
  }

  /** Shakes hands on a connection. Where too many do, the one that began first makes room: HAProxy's are quick. */
  accept(socket: Socket): void {
    const key = keyOf(socket);
    this.#pending.set(key, socket);
    socket.once("close", () => this.#pending.get(key) === socket && this.#pending.delete(key));
    socket.on("error", () => {});
    this.#server.emit("connection", socket);
    if (this.#pending.size > MOST_HANDSHAKES) this.#giveUpFirst();
  }

  /** Shows another certificate, or lets in others, from the next handshake on; connections go on. */
  renew(tls: ListenerTls): void {
    this.#tls = tls;
    this.#server.setSecureContext(contextOf(tls));
  }

  /** Ends all handshakes. */
  close(): void {
    for (const socket of this.#pending.values()) socket.destroy();
  }

  #giveUpFirst(): void {
    const [first] = this.#pending;
    if (first === undefined) return;
    const [key, socket] = first;
    this.#pending.delete(key);
    this.#options.refused("TLS_HANDSHAKES_TOO_MANY");
    socket.destroy();
  }

  #secured(socket: TLSSocket): void {
    this.#pending.delete(keyOf(socket));
    const why = refusalOf(socket, this.#tls.clientNames);
    if (why === undefined) {
      this.#options.admitted(socket);
      return;
    }
    this.#options.refused(why);
    socket.on("error", () => {});
    socket.destroy();
  }

  #failed(error: NodeJS.ErrnoException, socket: TLSSocket): void {
    socket.destroy();
    // Node's own type has an Error there; it is the code of what OpenSSL has against the certificate, or null.
    const against = (socket.authorizationError as unknown as string | null | undefined) ?? undefined;
    const cause = against ?? error.code ?? "";
    // One that was given up has been told; one that has gone without a word says nothing.
    if (cause === "ECONNRESET") return;
    const otherwise = against === undefined ? "TLS_HANDSHAKE_FAILED" : "TLS_CERTIFICATE_UNTRUSTED";
    this.#options.refused((Object.hasOwn(CAUSES, cause) ? CAUSES[cause] : undefined) ?? otherwise);
  }
}

/**
 * TLS 1.2 and later. Nothing is resumed: a session would outlive the authority that its certificate was held to.
 *
 * @param tls which the configuration has seen to be sound
 */
export function contextOf({ cert, key, clientCa }: ListenerTls) {
  return {
    cert,
    key,
    ca: clientCa,
    minVersion: "TLSv1.2",
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  } as const;
}

/** OpenSSL has verified the chain. What it lets in without a certificate is not let in here. */
function refusalOf(socket: TLSSocket, names: readonly string[]): TlsRefusal | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (!socket.authorized || certificate === undefined) return "TLS_CERTIFICATE_MISSING";
  if (names.length === 0 || namesIn(certificate.raw).some((name) => names.includes(name))) return undefined;
  return "TLS_CERTIFICATE_NAME";
}

function namesIn(der: Buffer): readonly string[] {
  try {
    const { dns, uri } = readCertificate(der).names;
    return [...dns.map((name) => name.toLowerCase()), ...uri];
  } catch (error) {
    if (error instanceof DerError) return [];
    throw error;
  }
}

/** Which of the machine's connections it is. */
function keyOf({ localAddress, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${remoteAddress} ${remotePort}`;
}
