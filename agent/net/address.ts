/** A TCP address, or a unix socket. */
export type Address = TcpAddress | SocketAddress;

export interface TcpAddress {
  readonly host: string;
  readonly port: number;
  /** Of one that is listened on. Default: plain text */
  readonly tls?: ListenerTls;
}

/** What a listener shows, and whom it lets in; PEM texts. Secret. */
export interface ListenerTls {
  readonly cert: string;
  readonly key: string;
  /** The authorities that sign clients' certificates. */
  readonly clientCa: string;
  /** DNS names and URIs (RFC 5280, section 4.2.1.6), one of which a client's certificate must have. None: any will do */
  readonly clientNames: readonly string[];
}

/** A unix socket, and whom its file lets in. */
export interface SocketAddress {
  readonly path: string;
  /** Of the file: whoever may write to it may connect. */
  readonly mode: number;
  /** Name or number of the file's group; the agent's own where there is none. */
  readonly group?: string;
  /** The file's path as HAProxy finds it, where that is another one: behind a chroot, or mounted elsewhere. */
  readonly haproxyPath?: string;
}

/** The address as the configuration writes it. */
export function addressText(address: Address): string {
  return "path" in address ? `unix:${address.path}` : tcpText(address);
}

/** The address as HAProxy's configuration writes it, and finds it. */
export function haproxyAddress(address: Address): string {
  return "path" in address ? `unix@${address.haproxyPath ?? address.path}` : tcpText(address);
}

/** A host's address in its one spelling, as in a URL: IPv6 in brackets. Undefined for what no URL can name. */
export function urlHost(host: string): string | undefined {
  return URL.parse(`http://${bracketed(host)}`)?.hostname;
}

function tcpText({ host, port }: TcpAddress): string {
  return `${bracketed(host)}:${port}`;
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
