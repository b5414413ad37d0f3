/**
 * A BGP peer by hand over a real socket: says what it is told to say, however wrong, and counts what it hears.
 * For tests of what a speaker does with peers that no daemon would be.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { message } from 'kube-router-sdk/bgp';
import { until } from './netns.ts';

/** A peer by hand. */
export interface WirePeer {
  readonly socket: Socket;
  /** Whole messages heard, by type. */
  readonly heard: Record<number, number>;
  /** NOTIFICATIONs heard, in words. */
  readonly notifications: string[];
  /** Prefixes now announced to it. */
  readonly routes: ReadonlySet<string>;
  readonly closed: boolean;
  close(): void;
}

/** How a peer by hand connects. */
export interface WireOptions {
  readonly port: number;
  readonly localAddress: string;
  readonly asn: number;
  /** Seconds. @defaultValue 3 */
  readonly holdTime?: number;
  /** Sends KEEPALIVEs. @defaultValue true */
  readonly alive?: boolean;
}

const context: message.AttributeContext = { peerType: 'ebgp', families: ['ipv4-unicast', 'ipv6-unicast'] };

/** Connects and brings a session up. */
export async function wirePeer({
  port,
  localAddress,
  asn,
  holdTime = 3,
  alive = true,
}: WireOptions): Promise<WirePeer> {
  const socket = connect({ host: '127.0.0.1', port, localAddress });
  const heard: Record<number, number> = {};
  const notifications: string[] = [];
  const routes = new Set<string>();
  let closed = false;
  const framer = message.createFramer();
  framer.setMaxLength(65_535);
  socket.on('error', () => undefined);
  socket.on('close', () => (closed = true));
  socket.on('data', (chunk: Uint8Array) => {
    framer.push(chunk, (bytes, offset, length, type) => {
      heard[type] = (heard[type] ?? 0) + 1;
      if (type === 3)
        notifications.push(message.describeNotification(message.decodeNotification(bytes, offset, length)));
      if (type !== 2) return;
      const update = message.decodeUpdate(bytes, offset, length, context);
      for (const { routes: list } of update.withdrawn) for (const nlri of list) routes.delete(nlri.text);
      for (const { routes: list } of update.announced) for (const nlri of list) routes.add(nlri.text);
    });
  });
  socket.write(
    message.encodeOpen({
      asn,
      holdTime,
      routerId: asn,
      capabilities: [
        { type: 'multiprotocol', family: 'ipv4-unicast' },
        { type: 'route-refresh' },
        { type: 'enhanced-route-refresh' },
        { type: 'four-octet-as', asn },
      ],
    }),
  );
  socket.write(message.encodeKeepalive());
  const timer = setInterval(
    () => {
      if (alive && !closed) socket.write(message.encodeKeepalive());
    },
    (holdTime * 1000) / 4,
  );
  await until('the session', () => (heard[4] ?? 0) > 0);
  return {
    socket,
    heard,
    notifications,
    routes,
    get closed() {
      return closed;
    },
    close() {
      clearInterval(timer);
      socket.destroy();
    },
  };
}

/** UPDATEs that announce IPv4 prefixes from an AS, learned from the AS 64000 + `round`: another path each round. */
export function announceFrom(asn: number, prefixes: readonly string[], round = 0): Uint8Array {
  const attributes: message.PathAttributes = {
    origin: 'igp',
    asPath: [{ type: 'sequence', asns: [asn, 64_000 + round] }],
  };
  const fields: message.UpdateFields = {
    attributes,
    announce: { family: 'ipv4-unicast', nextHop: '192.0.2.1', routes: prefixes.map((one) => message.prefixNlri(one)) },
  };
  return Buffer.concat(message.encodeUpdate(fields, { peerType: 'ebgp' }).messages);
}
