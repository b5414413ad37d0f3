/** Runs inside user-mode Linux: writes every form of service and server through the driver, reads back, and takes all away again. */
import { deepStrictEqual as equal } from 'node:assert';
import { createIpvsadm } from '../../../src/kernel/ipvsadm/driver.ts';
import type { IpvsEntry, IpvsServer, IpvsService } from '../../../src/kernel/ipvsadm/model.ts';
import { ipvsServerKey, ipvsServiceKey } from '../../../src/kernel/ipvsadm/model.ts';
import {
  renderServer,
  renderServerDelete,
  renderService,
  renderServiceDelete,
} from '../../../src/kernel/ipvsadm/render.ts';
import { createRunner } from '../../../src/kernel/runner.ts';

const entry = (service: IpvsService, ...servers: IpvsServer[]): [string, IpvsEntry] => [
  ipvsServiceKey(service.listen),
  { service, servers: new Map(servers.map((server) => [ipvsServerKey(server), server])) },
];
const server = (address: string, port: number, more: Partial<IpvsServer> = {}): IpvsServer => ({
  address,
  port,
  forward: 'masquerade',
  weight: 1,
  ...more,
});

const wanted = new Map([
  entry(
    { listen: { protocol: 'TCP', address: '10.0.0.1', port: 80 }, scheduler: 'rr' },
    server('10.1.0.1', 8080),
    server('10.1.0.2', 8080, { weight: 0 }),
    server('10.1.0.3', 8080, { weight: 65_535 }),
  ),
  entry({
    listen: { protocol: 'UDP', address: '10.0.0.1', port: 53 },
    scheduler: 'wlc',
    persistentSeconds: 10_800,
    netmask: '255.255.255.0',
  }),
  entry({
    listen: { protocol: 'UDP', address: '10.0.0.1', port: 91 },
    scheduler: 'sh',
    onePacket: true,
    flags: ['sh-fallback'],
  }),
  entry(
    { listen: { protocol: 'SCTP', address: '10.0.0.1', port: 90 }, scheduler: 'sh', flags: ['sh-port'] },
    server('10.1.0.1', 90),
  ),
  entry(
    { listen: { protocol: 'TCP', address: 'fd00::1', port: 80 }, scheduler: 'mh', flags: ['mh-fallback', 'mh-port'] },
    server('fd00:1::1', 8080),
    server('fd00:1::2', 80, { forward: 'route' }),
  ),
  entry(
    { listen: { fwmark: 4096 }, scheduler: 'mh', flags: ['mh-fallback', 'mh-port'] },
    server('10.1.0.1', 0, { forward: 'tunnel', tunnel: { type: 'ipip' } }),
    server('10.1.0.2', 0, { forward: 'tunnel', tunnel: { type: 'gue', port: 5555, checksum: 'none' } }),
    server('10.1.0.3', 0, { forward: 'tunnel', tunnel: { type: 'gre', checksum: 'checksum' } }),
  ),
  entry(
    { listen: { fwmark: 4097, family: 6 }, scheduler: 'rr' },
    server('fd00:1::1', 0, { forward: 'tunnel', tunnel: { type: 'ipip' } }),
  ),
]);

const adding = [...wanted.values()].flatMap(({ service, servers }) => [
  renderService('add', service),
  ...[...servers.values()].map((one) => renderServer('add', service.listen, one)),
]);

for (const directLimit of [0, 1000]) {
  const driver = createIpvsadm({ runner: createRunner(), directLimit });
  const added = await driver.apply(adding);
  equal(added.failures, []);
  equal(added.certain, directLimit > 0);
  equal(await driver.save(), wanted);
  equal([...(await driver.counters()).keys()].sort(), [...wanted.keys()].sort());
  equal([...(await driver.counters({ rate: true })).keys()].sort(), [...wanted.keys()].sort());
  equal(await driver.connections(), []);

  // Every service edited, every server's weight changed, then each server taken away, then each service.
  const edited = new Map(
    [...wanted].map(([key, { service, servers }]): [string, IpvsEntry] => [
      key,
      {
        service: { ...service, persistentSeconds: 60 },
        servers: new Map([...servers].map(([name, one]) => [name, { ...one, weight: 7 }])),
      },
    ]),
  );
  const edits = [...edited.values()].flatMap(({ service, servers }) => [
    renderService('edit', service),
    ...[...servers.values()].map((one) => renderServer('edit', service.listen, one)),
  ]);
  equal((await driver.apply(edits)).failures, []);
  // An IPv6 mark is persistent by whole addresses, which ipvsadm prints as no mask.
  equal(await driver.save(), edited);
  const removals = [...edited.values()].flatMap(({ service, servers }) => [
    ...[...servers.values()].map((one) => renderServerDelete(service.listen, one)),
    renderServiceDelete(service.listen),
  ]);
  equal((await driver.apply(removals)).failures, []);
  equal(await driver.save(), new Map());
}

// Direct commands name what was refused, and go on; a bulk batch says only that the caller has to read back.
const bad = [
  ['-A', '-t', '10.0.0.1:80', '-s', 'rr'],
  ['-A', '-t', '10.0.0.1:80', '-s', 'rr'],
  ['-a', '-t', '10.0.0.9:80', '-r', '10.1.0.1:80', '-m'],
  ['-A', '-t', '10.0.0.1:81', '-s', 'rr'],
];
const direct = await createIpvsadm({ runner: createRunner() }).apply(bad);
equal(
  direct.failures.map(({ item }) => item),
  ['-A -t 10.0.0.1:80 -s rr', '-a -t 10.0.0.9:80 -r 10.1.0.1:80 -m'],
);
equal(direct.certain, true);
const bulk = await createIpvsadm({ runner: createRunner(), directLimit: 0 }).apply([
  ['-A', '-t', '10.0.0.1:80', '-s', 'rr'],
  ['-A', '-t', '10.0.0.1:99', '-s', 'rr'],
]);
equal(bulk.certain, false);
equal(
  [...(await createIpvsadm({ runner: createRunner() }).save()).keys()],
  ['TCP/10.0.0.1:80', 'TCP/10.0.0.1:81', 'TCP/10.0.0.1:99'],
);
console.log('ipvsadm driver: all equal');
