/**
 * What goes out for monitoring, judged by others: BMP by tshark's dissector, MRT dumps by GoBGP, which reads them, and by BIRD, which
 * writes them for us to read.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { message, replayMrt } from 'kube-router-sdk/bgp';
import { bird, gobgp, netns, speak, tidy, undo, up } from '../support/bgp.ts';
import { sh, until } from '../support/netns.ts';
import { capture } from '../support/pcap.ts';

afterEach(tidy);

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'krb-mon-'));
  undo(() => rmSync(made, { recursive: true }));
  return made;
}

/** A monitoring station on loopback that keeps what it is told. */
async function station(): Promise<{ readonly port: number; octets(): Uint8Array; types(): readonly number[] }> {
  const chunks: Uint8Array[] = [];
  const server = createServer((socket) => {
    socket.on('data', (chunk: Uint8Array) => chunks.push(chunk));
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  undo(() => void server.close());
  const octets = (): Uint8Array => Buffer.concat(chunks);
  return {
    port: (server.address() as AddressInfo).port,
    octets,
    types() {
      const bytes = Buffer.from(octets());
      const types: number[] = [];
      for (let at = 0; at + 6 <= bytes.length; at += bytes.readUInt32BE(at + 1)) types.push(bytes[at + 5]!);
      return types;
    },
  };
}

/** tshark's reading of a BMP stream, whole. */
function dissect(octets: Uint8Array): string {
  const file = join(folder(), 'bmp.pcap');
  writeFileSync(file, capture([[{ from: 'client', octets }]]));
  return sh('tshark', ['-r', file, '-d', 'tcp.port==179,bmp', '-V']);
}

describe('BMP', () => {
  it('tells what there is, what comes, and the end; tshark reads all of it', async () => {
    const ns = netns();
    const daemon = await bird(ns);
    const { speaker } = await speak(ns);
    await up(speaker);
    const one = await station();
    const stop = speaker.monitor({ address: '127.0.0.1', port: one.port, statisticsInterval: 1 });
    // Initiation, Peer Up, a route and an End-of-RIB for each family, statistics.
    await until('the beginning', () => one.types().length >= 7);
    expect(one.types().slice(0, 6)).toEqual([4, 3, 0, 0, 0, 0]);
    expect(one.types()).toContain(1);
    const before = one.types().length;
    daemon.ask('disable fixed4');
    await until('the withdrawal', () => one.types().slice(before).includes(0));
    daemon.ask('disable speaker "for the test"');
    await until('the end of the session', () => one.types().includes(2));
    daemon.ask('enable speaker');
    await until('the next', () => one.types().filter((type) => type === 3).length === 2);
    stop();
    await until('the last word', () => one.types().at(-1) === 5);
    const text = dissect(one.octets());
    expect(text).not.toMatch(/Malformed|Expert Info \((Warn|Error)/);
    for (const said of [
      'Type: Initiation Message (4)',
      'Type: Peer Up Notification (3)',
      'Type: Route Monitoring (0)',
      'Type: Statistics Report (1)',
      'Type: Peer Down Notification (2)',
      'Type: Termination Message (5)',
      `Address: ${ns.there4}`,
      'ASN: 65000',
      'BGP ID: 10.0.0.254',
      '192.0.2.0/24',
      '2001:db8:f::/48',
      'OPEN Message',
    ]) {
      expect(text).toContain(said);
    }
  });

  it('a station that comes late, and one that goes, change nothing for the peers', async () => {
    const ns = netns();
    await bird(ns);
    const { speaker } = await speak(ns);
    const gone = speaker.monitor({ address: '127.0.0.1', port: 1, retryInterval: 1 });
    await up(speaker);
    gone();
    expect(speaker.peers()[0]?.established).toBe(1);
  });
});

describe('MRT', () => {
  it('GoBGP reads our dump: peers, routes, attributes', async () => {
    const ns = netns();
    await bird(ns, {
      global: `protocol static more { ipv4; route 203.0.113.0/24 blackhole { bgp_community.add((65000, 7)); }; }`,
    });
    // GoBGP 3 cannot read next hops of IPv6 routes as RFC 6396 section 4.3.4 has them.
    const { speaker } = await speak(ns, { families: ['ipv4-unicast'] });
    await up(speaker);
    await until('all', () => speaker.query((path) => path.peer !== '').length === 2);
    const file = join(folder(), 'rib.mrt');
    writeFileSync(file, Buffer.concat([...speaker.dump()]));
    await speaker.close();
    const other = netns();
    const daemon = await gobgp(other);
    const said = daemon.ask(`mrt inject global ${file} --debug`);
    expect(said).toContain(`ID [10.0.0.254] Addr [${ns.there4}] AS [65000]`);
    const line = said.split('\n').find((text) => text.includes('Prefix [203.0.113.0/24]'));
    expect(line).toContain(`{Origin: i} 65000 {Nexthop: ${ns.there4}}`);
    expect(line).toContain('{Communities: 65000:7}');
    expect(said).toContain('Prefix [192.0.2.0/24]');
    // And ours reads its own.
    const replayed = [...replayMrt(readFileSync(file))];
    expect(replayed.map(({ address }) => address)).toEqual([ns.there4, ns.there4]);
  });

  it('BIRD’s dump of its table is read route by route', async () => {
    const ns = netns();
    const daemon = await bird(ns, {
      global: `protocol static more { ipv4; route 203.0.113.0/24 via ${ns.here4} { bgp_community.add((65000, 7)); }; }`,
    });
    const { speaker } = await speak(ns);
    speaker.setAdvertisements([
      { prefix: '10.244.1.0/24', origin: 'pod-cidr', attributes: { communities: ['65001:5'], prepend: { count: 1 } } },
      { prefix: 'fd00:244:1::/64', origin: 'pod-cidr' },
    ]);
    await up(speaker);
    await until('our routes', () => daemon.ask('show route').includes('fd00:244:1::/64'));
    const path = join(folder(), 'bird.mrt');
    daemon.ask(`mrt dump table "master4" to "${path}4"`);
    daemon.ask(`mrt dump table "master6" to "${path}6"`);
    const read = (file: string) =>
      [...replayMrt(readFileSync(file))].flatMap(({ messages, address }) =>
        messages.map((bytes) => {
          const update = message.decodeUpdate(bytes, 0, bytes.length, {
            peerType: 'ibgp',
            families: ['ipv4-unicast', 'ipv6-unicast'],
          });
          return { address, update };
        }),
      );
    await until('the file', () => read(`${path}4`).length > 0 && read(`${path}6`).length > 0);
    const found = read(`${path}4`).find(({ update }) => JSON.stringify(update.announced).includes('10.244.1.0/24'));
    expect(found?.address).toBe(ns.here4);
    expect(found?.update.attributes).toMatchObject({
      asPath: [{ type: 'sequence', asns: [65001, 65001] }],
      communities: [65001 * 65536 + 5],
    });
    expect(read(`${path}6`).some(({ update }) => JSON.stringify(update.announced).includes('fd00:244:1::/64'))).toBe(
      true,
    );
  });

  it('garbage and cut files end quietly', () => {
    expect([...replayMrt(new Uint8Array(0))]).toEqual([]);
    expect([...replayMrt(new Uint8Array(500).fill(255))]).toEqual([]);
    for (let seed = 1; seed < 300; seed++) {
      const bytes = Uint8Array.from({ length: 200 }, (_, index) => (Math.imul(index + seed, 2654435761) >>> 13) & 255);
      // A header that says table dump and a length that fits.
      bytes.set([0, 0, 0, 0, 0, 13, 0, 1 + (seed % 10), 0, 0, 0, 180]);
      expect(() => [...replayMrt(bytes)]).not.toThrow();
    }
  });
});
