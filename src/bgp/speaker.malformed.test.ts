/**
 * The table of malformed and odd UPDATEs against the whole speaker: a good route, the odd UPDATE for the same prefix, a sentinel; judged
 * from what a third peer sees. Connections are in memory and the three parties share one turn of the loop.
 */
import { describe, expect, it } from 'vitest';
import type { MalformedCase, MalformedSession, Seen } from '../../test/conformance/bgp-malformed.ts';
import { malformedUpdates } from '../../test/conformance/bgp-malformed.ts';
import type { Connection, ConnectionHandlers, Transport } from './index.ts';
import { createSpeaker, message } from './index.ts';

interface Wire {
  readonly connection: Connection;
  readonly sent: Uint8Array[];
  feed(bytes: Uint8Array): void;
  readonly closed: boolean;
}

function wire(remoteAddress: string): Wire {
  const sent: Uint8Array[] = [];
  let handlers: ConnectionHandlers | undefined;
  let closed = false;
  const end = (): void => {
    closed = true;
  };
  return {
    sent,
    get closed() {
      return closed;
    },
    feed: (bytes) => handlers?.onData(bytes),
    connection: {
      localAddress: '10.9.0.1',
      remoteAddress,
      remotePort: 1,
      start(given) {
        handlers = given;
      },
      write: (bytes) => void sent.push(bytes.slice()),
      backlog: () => 0,
      pause: () => undefined,
      resume: () => undefined,
      end,
      destroy: end,
    },
  };
}

const turn = async (): Promise<void> => {
  for (let round = 0; round < 4; round++) await new Promise((resolve) => setImmediate(resolve));
};

const context: message.AttributeContext = { peerType: 'ebgp', families: ['ipv4-unicast', 'ipv6-unicast'] };

/** Messages that a wire was sent, cut. */
function messages(bytes: readonly Uint8Array[]): { readonly type: number; readonly update?: message.Update }[] {
  const found: { type: number; update?: message.Update }[] = [];
  const framer = message.createFramer();
  for (const chunk of bytes) {
    framer.push(chunk, (whole, offset, length, type) => {
      found.push(type === 2 ? { type, update: message.decodeUpdate(whole, offset, length, context) } : { type });
    });
  }
  return found;
}

async function judge(
  one: MalformedCase,
): Promise<{ readonly seen: Seen; readonly sentinel: boolean; readonly codes: readonly number[] }> {
  const localAs = 65000;
  const peerAs = one.session === 'ibgp' ? localAs : 65001;
  const session: MalformedSession = {
    prefix: '10.9.8.0/24',
    peerAs,
    localAs,
    peerAddress: '10.9.0.2',
    localAddress: '10.9.0.1',
  };
  let accept: ((connection: Connection) => void) | undefined;
  const transport: Transport = {
    dial: () => () => undefined,
    listen(_where, onConnection) {
      accept = onConnection;
      return Promise.resolve({ port: 179, protect: () => undefined, close: () => Promise.resolve() });
    },
    siblings: () => ({ ipv6: 'fd00:9::1' }),
  };
  await using _speaker = await createSpeaker({
    asn: localAs,
    routerId: '10.9.0.1',
    listen: [{ address: '10.9.0.1' }],
    transport,
    peers: [
      { address: '10.9.0.2', asn: peerAs, passive: true, extendedMessages: false },
      { address: '10.9.0.3', asn: 65002, passive: true, extendedMessages: false },
    ],
  });
  const join = (address: string, asn: number, narrow: boolean): Wire => {
    const made = wire(address);
    accept?.(made.connection);
    const capabilities: message.Capability[] = [
      { type: 'multiprotocol', family: 'ipv4-unicast' },
      { type: 'multiprotocol', family: 'ipv6-unicast' },
    ];
    if (!narrow) capabilities.push({ type: 'four-octet-as', asn });
    made.feed(message.encodeOpen({ asn, holdTime: 90, routerId: asn * 7, capabilities }));
    made.feed(message.encodeKeepalive());
    return made;
  };
  const third = join('10.9.0.3', 65002, false);
  const sender = join('10.9.0.2', peerAs, one.twoOctetAs);
  await turn();
  const good = (prefix: string): void => {
    const attributes: message.PathAttributes = {
      origin: 'igp',
      asPath: one.session === 'ibgp' ? [] : [{ type: 'sequence', asns: [peerAs] }],
      ...(one.session === 'ibgp' ? { localPref: 100 } : {}),
      communities: [0xfde8_0063],
    };
    const fields: message.UpdateFields = {
      attributes,
      announce: { family: 'ipv4-unicast', nextHop: session.peerAddress, routes: [message.prefixNlri(prefix)] },
    };
    for (const bytes of message.encodeUpdate(fields, { fourOctetAs: !one.twoOctetAs, peerType: one.session }).messages)
      sender.feed(bytes);
  };
  good(session.prefix);
  await turn();
  const before = third.sent.length;
  sender.feed(one.build(session));
  await turn();
  const after = third.sent.length;
  if (!sender.closed) good('10.77.0.0/24');
  await turn();
  const route = (list: readonly { readonly routes: readonly message.Nlri[] }[]): boolean =>
    list.some(({ routes }) => routes.some((nlri) => JSON.stringify(nlri).includes('10.9.8.0/24')));
  let seen: Seen = 'unchanged';
  let codes: readonly number[] = [];
  for (const { update } of messages(third.sent.slice(before, after))) {
    if (update === undefined) continue;
    if (route(update.withdrawn)) seen = 'withdrawn';
    if (route(update.announced)) {
      seen = 'replaced';
      codes =
        Object.keys(update.attributes).length > 0 ? (update.attributes.unknown ?? []).map(({ code }) => code) : [];
    }
  }
  if (sender.closed) seen = 'reset';
  const sentinel = messages(third.sent.slice(after)).some(({ update }) =>
    JSON.stringify(update?.announced ?? []).includes('10.77.0.0/24'),
  );
  return { seen, sentinel, codes };
}

const SEEN = { accept: 'replaced', discard: 'replaced', withdraw: 'withdrawn', reset: 'reset' } as const;

describe('what a third peer sees', () => {
  it.each(malformedUpdates.map((one) => [`${one.group}: ${one.name} (${one.rfc})`, one] as const))(
    '%s',
    async (_name, one) => {
      const { seen, sentinel, codes } = await judge(one);
      expect([one.seen, ...one.alsoAllowed.map((answer) => SEEN[answer])]).toContain(seen);
      if (seen !== 'reset') expect(sentinel).toBe(true);
      for (const code of one.absent) expect(codes).not.toContain(code);
    },
  );
});
