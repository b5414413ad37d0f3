import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { IpvsAddress, IpvsEntry, IpvsServer, IpvsService } from './model.ts';
import { ipvsServerKey, ipvsServiceKey } from './model.ts';
import { parseIpvsConnections, parseIpvsCounters, parseIpvsSave } from './parse.ts';
import { renderServer, renderServerDelete, renderService, renderServiceDelete } from './render.ts';

// Printed by ipvsadm 1.31 on a 6.1 kernel.
const saved = `-A -t 10.0.0.1:80 -s rr
-a -t 10.0.0.1:80 -r 10.0.0.100:8080 -m -w 0
-a -t 10.0.0.1:80 -r 10.1.0.9:80 -g -w 1
-A -u 10.0.0.1:53 -s wlc -p 10800 -M 255.255.255.0
-A -u 10.0.0.1:91 -s sh -o -b sh-fallback
-A --sctp-service 10.0.0.1:90 -s sh -b sh-port
-A -t [fd00::1]:80 -s mh -b mh-fallback,mh-port
-a -t [fd00::1]:80 -r [fd00::100]:80 -g -w 1
-A -f 5 -s mh -b mh-fallback,mh-port
-a -f 5 -r 10.1.0.3:0 -i -w 1 --tun-type ipip
-a -f 5 -r 10.1.0.4:0 -i -w 1 --tun-type gue --tun-port 5555 --tun-nocsum
-a -f 5 -r 10.1.0.5:0 -i -w 1 --tun-type gre --tun-csum
-A -f 6 -6 -s rr -p 60 -M 64
`;

it('reads services and servers', () => {
  const entries = parseIpvsSave(saved);
  expect([...entries].map(([key, { servers }]) => [key, ...servers.keys()].join(' '))).toEqual([
    'TCP/10.0.0.1:80 10.0.0.100:8080 10.1.0.9:80',
    'UDP/10.0.0.1:53',
    'UDP/10.0.0.1:91',
    'SCTP/10.0.0.1:90',
    'TCP/[fd00::1]:80 [fd00::100]:80',
    'FWM/5 10.1.0.3:0 10.1.0.4:0 10.1.0.5:0',
    'FWM6/6',
  ]);
  expect(entries.get('UDP/10.0.0.1:53')!.service).toEqual({
    listen: { protocol: 'UDP', address: '10.0.0.1', port: 53 },
    scheduler: 'wlc',
    persistentSeconds: 10800,
    netmask: '255.255.255.0',
  });
  expect(entries.get('UDP/10.0.0.1:91')!.service).toMatchObject({ onePacket: true, flags: ['sh-fallback'] });
  expect(entries.get('FWM/5')!.servers.get('10.1.0.4:0')).toEqual({
    address: '10.1.0.4',
    port: 0,
    forward: 'tunnel',
    weight: 1,
    tunnel: { type: 'gue', port: 5555, checksum: 'none' },
  });
});

const render = (entries: ReadonlyMap<string, IpvsEntry>): string =>
  [...entries.values()]
    .flatMap(({ service, servers }) => [
      renderService('add', service),
      ...[...servers.values()].map((server) => renderServer('add', service.listen, server)),
    ])
    .map((args) => `${args.join(' ')}\n`)
    .join('');

it('writes what it read, and reads that the same', () =>
  expect(parseIpvsSave(render(parseIpvsSave(saved)))).toEqual(parseIpvsSave(saved)));

it('everything that can be written reads back', () => {
  const address = fc.oneof(fc.constantFrom('10.0.0.1', '10.0.0.2'), fc.constantFrom('fd00::1', '::1'));
  const port = fc.nat({ max: 65535 });
  const listen: fc.Arbitrary<IpvsAddress> = fc.oneof(
    fc.record({ protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'), address, port }),
    fc.record({ fwmark: fc.nat({ max: 2 ** 32 - 1 }), family: fc.constant(6 as const) }, { requiredKeys: ['fwmark'] }),
  );
  const service: fc.Arbitrary<IpvsService> = fc.record(
    {
      listen,
      scheduler: fc.constantFrom('rr', 'mh', 'sh'),
      flags: fc.constant(['mh-fallback', 'mh-port']),
      persistentSeconds: fc.integer({ min: 1, max: 99999 }),
      onePacket: fc.constant(true),
    },
    { requiredKeys: ['listen', 'scheduler'] },
  );
  const plain = fc.record({
    address,
    port,
    forward: fc.constantFrom('masquerade', 'route'),
    weight: fc.nat({ max: 65535 }),
  });
  const server: fc.Arbitrary<IpvsServer> = fc.oneof(
    plain,
    plain.map((one) => ({
      ...one,
      forward: 'tunnel' as const,
      tunnel: { type: 'gue' as const, port: 5555, checksum: 'checksum' as const },
    })),
  );
  const entry = fc.tuple(service, fc.array(server, { maxLength: 4 })).map(([one, servers]): IpvsEntry => ({
    service: one,
    servers: new Map(servers.map((each) => [ipvsServerKey(each), each])),
  }));
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 5 }), (list) => {
      const entries = new Map(list.map((one) => [ipvsServiceKey(one.service.listen), one]));
      expect(parseIpvsSave(render(entries))).toEqual(entries);
    }),
  );
});

it('names what is to go', () => {
  expect(renderServiceDelete({ fwmark: 4096, family: 6 })).toEqual(['-D', '-f', '4096', '-6']);
  expect(
    renderServerDelete({ protocol: 'TCP', address: 'fd00::1', port: 80 }, { address: 'fd00::2', port: 81 }),
  ).toEqual(['-d', '-t', '[fd00::1]:80', '-r', '[fd00::2]:81']);
});

it('reads counters', () => {
  const counters = parseIpvsCounters(`IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  10.0.0.1:80                         3       15       12      900      800
  -> 10.0.0.100:8080                     1        2        3        4        5
TCP  [fd00::1]:80                        0        0        0        0        0
FWM  5                                   7        0        0        0        0
FWM  6 IPv6                              8        0        0        0        0
`);
  expect([...counters.keys()]).toEqual(['TCP/10.0.0.1:80', 'TCP/[fd00::1]:80', 'FWM/5', 'FWM6/6']);
  expect(counters.get('TCP/10.0.0.1:80')).toEqual({
    connections: 3,
    inPackets: 15,
    outPackets: 12,
    inBytes: 900,
    outBytes: 800,
    servers: new Map([['10.0.0.100:8080', { connections: 1, inPackets: 2, outPackets: 3, inBytes: 4, outBytes: 5 }]]),
  });
  expect(counters.get('FWM6/6')!.connections).toBe(8);
});

it('reads connections', () => {
  expect(
    parseIpvsConnections(`IPVS connection entries
pro expire state       source             virtual            destination
TCP 00:59  SYN_RECV    10.0.0.1:48926     10.0.0.1:80        10.1.0.9:80
`),
  ).toEqual([
    {
      protocol: 'TCP',
      expiresSeconds: 59,
      state: 'SYN_RECV',
      source: '10.0.0.1:48926',
      virtual: '10.0.0.1:80',
      destination: '10.1.0.9:80',
    },
  ]);
});

it.each(['nonsense', '-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m', '-A -t 10.0.0.1', '-A -t 10.0.0.1:80'])(
  'refuses %j',
  (text) => {
    expect(() => parseIpvsSave(text)).toThrowError(expect.objectContaining({ code: 'PARSE_FAILED' }));
  },
);
