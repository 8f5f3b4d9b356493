/** A TCP address, or a unix socket. */
export type Address = { readonly host: string; readonly port: number } | SocketAddress;

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
