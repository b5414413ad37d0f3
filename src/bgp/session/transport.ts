/**
 * Connections as a port: what a session needs of TCP, and nothing of node:net.
 * tcp.ts is the real one; in-memory pairs stand in for it under test.
 */

/** Where a peer is and how to reach it. */
export interface DialOptions {
  readonly address: string;
  /** TCP port. */
  readonly port: number;
  readonly localAddress?: string | undefined;
  readonly security: PeerSecurity;
}

/** Protection of a session below BGP. */
export interface PeerSecurity {
  /** TCP MD5 signature key (RFC 2385). */
  readonly password?: string | undefined;
  /** Packets are sent with a hop limit of 255 and must arrive with at least 256 minus this (RFC 5082); absent: off. */
  readonly ttlSecurityHops?: number | undefined;
  /** Hop limit of packets sent; 1 for directly connected eBGP peers. Absent: the system's. */
  readonly ttl?: number | undefined;
}

/** What a connection reports. */
export interface ConnectionHandlers {
  /** Bytes, valid during the call only. */
  onData(bytes: Uint8Array): void;
  /** The backlog is gone. */
  onDrain(): void;
  /** Over, for whatever reason; called once. */
  onClose(reason: string): void;
}

/** An open connection. */
export interface Connection {
  readonly localAddress: string;
  readonly remoteAddress: string;
  /** TCP port. */
  readonly remotePort: number;
  /** Absent where there are no ports. */
  readonly localPort?: number;
  /**
   * Applies hop limits to an accepted connection; absent: the transport knows none.
   * @throws SdkError `SOCKET_UNSUPPORTED`
   */
  protect?(security: PeerSecurity): void;
  /** Takes over; called once, before anything is read. */
  start(handlers: ConnectionHandlers): void;
  /** Queues bytes; they must not change afterwards. */
  write(bytes: Uint8Array): void;
  /** Bytes queued here and not yet taken by the system. */
  backlog(): number;
  /** Stops reading, so that the sender feels it. */
  pause(): void;
  /** Reads again. */
  resume(): void;
  /** Sends what is queued, then closes; gives up after a moment. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
}

/** One address that is listened on. */
export interface ListenAddress {
  readonly address: string;
  /** TCP port; 0: any free one. */
  readonly port: number;
}

/** A listener. */
export interface Listener {
  /** Port that is bound. */
  readonly port: number;
  /** Sets or, without security, removes the protection expected of a peer's connections. */
  protect(peer: string, security: PeerSecurity | undefined): void;
  /** Stops listening; connections that were accepted stay. */
  close(): Promise<void>;
}

/** Makes connections. */
export interface Transport {
  /** Dials; exactly one of the callbacks is called, none after the returned function. */
  dial(options: DialOptions, onOpen: (connection: Connection) => void, onError: (reason: string) => void): () => void;
  /** @throws SdkError when the address cannot be bound */
  listen(where: ListenAddress, onConnection: (connection: Connection) => void): Promise<Listener>;
  /** Addresses on the interface that holds `address`: what next hop self means for the other family. */
  siblings(address: string): { readonly ipv4?: string; readonly ipv6?: string; readonly linkLocal?: string };
}
