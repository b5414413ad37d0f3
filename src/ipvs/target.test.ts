import { expect, test } from 'vitest';
import type { Clock } from '../kernel/clock.ts';
import type { Runner } from '../kernel/types.ts';
import type { IpvsItem, IpvsState, VirtualServerItem } from './model.ts';
import type { IpvsPlan } from './plan.ts';
import { createIpvsTarget } from './target.ts';

const KEY = 'vs/tcp/10.96.0.1:80';
const vs = (...addresses: string[]): VirtualServerItem => ({
  type: 'vs',
  key: KEY,
  family: 4,
  protocol: 'TCP',
  address: '10.96.0.1',
  port: 80,
  scheduler: 'rr',
  flags: [],
  persistence: 0,
  forward: 'masq',
  servers: addresses.map((address) => ({ address, port: 8080, weight: 1 })),
});
const state = (item: VirtualServerItem): IpvsState => {
  const entry = { type: 'entry', set: 'kube-router-svip-prt', element: '10.96.0.1,tcp:80', options: '' } as const;
  const key = 'entry/kube-router-svip-prt/10.96.0.1,tcp:80';
  const items = new Map<string, IpvsItem>([
    [KEY, item],
    [key, { ...entry, key }],
  ]);
  return { items, graceMs: () => 30_000, drain: true };
};

test('a drain that ends between plan and apply: the endpoint that returned is added, not edited', async () => {
  // A kernel that lists one idle server at weight 0 until it is removed.
  const ran: string[] = [];
  let meanwhile = (): void => undefined;
  const runner: Runner = {
    run({ file, args }) {
      const line = [file, ...args].join(' ');
      let stdout = '';
      if (/^ipvsadm -Ln --nosort( -t 10.96.0.1:80)?$/.test(line)) {
        stdout = 'TCP  10.96.0.1:80 rr\n  -> 10.0.0.2:8080  Masq    1      0          0\n';
        if (!ran.some((one) => one.startsWith('ipvsadm -d'))) {
          const weight = ran.some((one) => one.startsWith('ipvsadm -e')) ? 0 : 1;
          stdout += `  -> 10.0.0.1:8080  Masq    ${weight}      0          0\n`;
        }
      } else if (line === 'ipset save') stdout = 'add kube-router-svip-prt 10.96.0.1,tcp:80\n';
      else if (/^ipvsadm -[aed]/.test(line)) ran.push(line);
      if (line.startsWith('ipvsadm -d')) meanwhile();
      return Promise.resolve({ exitCode: 0, stdout, stderr: '', durationMs: 0 });
    },
  };
  const clock: Clock = { now: () => 0, after: () => () => undefined };
  await using target = createIpvsTarget({ runner, families: [], clock });
  const { signal } = new AbortController();
  const observed = await target.observe(signal);
  const dirty = new Set([KEY]);
  await target.apply(target.plan(state(vs('10.0.0.2')), observed, { prune: true, dirty }), signal);
  // The endpoint returns while the command that removes it runs.
  let made: IpvsPlan | undefined;
  meanwhile = () => (made = target.plan(state(vs('10.0.0.1', '10.0.0.2')), observed, { prune: true, dirty }));
  await target.drainNow();
  expect(made?.steps).toMatchObject([{ kind: 'server', action: 'edit' }]);
  expect((await target.apply(made!, signal)).failures).toEqual([]);
  expect(ran).toEqual([
    'ipvsadm -e -t 10.96.0.1:80 -r 10.0.0.1:8080 -m -w 0',
    'ipvsadm -d -t 10.96.0.1:80 -r 10.0.0.1:8080',
    'ipvsadm -a -t 10.96.0.1:80 -r 10.0.0.1:8080 -m -w 1',
  ]);
});

test('UDP: conntrack forgets the server that went, and a service that went as a whole; TCP is left alone', async () => {
  const ran: string[] = [];
  let listed = '';
  const runner: Runner = {
    run({ file, args }) {
      if (file === 'conntrack') ran.push(args.join(' '));
      let stdout = '';
      if (file === 'ipvsadm' && args[0] === '-Ln') stdout = listed;
      if (file === 'ipset') {
        stdout = 'add kube-router-svip-prt 10.96.0.1,udp:53\nadd kube-router-svip-prt 10.96.0.1,tcp:80\n';
        stdout += 'add inet6:kube-router-svip-prt fd00::1,udp:53\n';
      }
      return Promise.resolve({ exitCode: 0, stdout, stderr: '', durationMs: 0 });
    },
  };
  listed = `UDP  10.96.0.1:53 rr
  -> 10.0.0.2:5353  Masq    1      0          0
  -> 10.0.0.1:5353  Masq    1      0          0
UDP  [fd00::1]:53 rr
  -> [fd01::1]:5353  Masq    1      0          0
TCP  10.96.0.1:80 rr
  -> 10.0.0.1:8080  Masq    1      0          0
`;
  const clock: Clock = { now: () => 0, after: () => () => undefined };
  await using target = createIpvsTarget({ runner, families: [], clock });
  const { signal } = new AbortController();
  const observed = await target.observe(signal);
  const dns = observed.items.get('vs/udp/10.96.0.1:53');
  if (dns?.type !== 'vs') throw new Error('not read');
  const left = { ...dns, servers: dns.servers.slice(1) };
  const items = new Map<string, IpvsItem>([[dns.key, left]]);
  await target.apply(target.plan({ items, graceMs: () => 0, drain: true }, observed, { prune: true }), signal);
  expect(ran.sort()).toEqual([
    '-D -f ipv4 -p udp --orig-dst 10.96.0.1 --orig-port-dst 53 --reply-src 10.0.0.1 --reply-port-src 5353',
    '-D -f ipv6 -p udp --orig-dst fd00::1 --orig-port-dst 53',
  ]);
});
