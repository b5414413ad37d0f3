import { expect, test } from 'vitest';
import { createRecordingRunner } from '../testing/recording-runner.ts';
import { parseLocalAddresses, readMarks } from './node.ts';

test('addresses of this machine: not of dummies, bridges of pods or links alone; the primary ones always', () => {
  const link = (ifname: string, mtu: number, ...locals: string[]) => ({
    ifname,
    mtu,
    addr_info: locals.map((local) => ({ local, scope: local.startsWith('fe80') ? 'link' : 'global' })),
  });
  const text = JSON.stringify([
    link('lo', 65536, '127.0.0.1'),
    link('eth0', 1450, '192.168.1.11', '192.168.1.77', 'fd10::11', 'fe80::1'),
    link('kube-dummy-if', 1500, '172.16.0.1'),
    link('kube-bridge', 1500, '10.1.1.1'),
    link('docker0', 1500, '172.17.0.1'),
    {},
  ]);
  expect(parseLocalAddresses(text, { 4: '192.168.1.11', 6: 'fd10::99' })).toEqual({
    addresses: ['127.0.0.1', '192.168.1.11', '192.168.1.77', 'fd10::11', 'fd10::99'],
    mtu: 1450,
  });
  expect(parseLocalAddresses('[]', { 4: '192.168.1.11' })).toEqual({ addresses: ['192.168.1.11'] });
});

test('marks of an earlier run, in the families that are on', async () => {
  const saved: Readonly<Record<string, string>> = {
    'kube-router-svc-mark': `create kube-router-svc-mark hash:ip,port family inet hashsize 1024 maxelem 1048576 skbinfo
add kube-router-svc-mark 198.51.100.5,tcp:80 skbmark 0x2007/0x3fff
`,
    'inet6:kube-router-svc-mark-in': 'add inet6:kube-router-svc-mark-in fd00::5,tcp:80 skbmark 0x9/0x3fff\n',
  };
  const runner = createRecordingRunner();
  for (const [name, text] of Object.entries(saved)) runner.when(`ipset save ${name}`, text);
  expect([...(await readMarks(runner))]).toEqual([
    ['kube-router-svc-mark/198.51.100.5,tcp:80', 0x2007],
    ['inet6:kube-router-svc-mark-in/fd00::5,tcp:80', 9],
  ]);
  expect((await readMarks(runner, [4])).size).toBe(1);
  // Nobody else's sets are read, whatever marks they hold.
  expect(runner.text().trim().split('\n')).toEqual([
    'ipset save kube-router-svc-mark',
    'ipset save inet6:kube-router-svc-mark',
    'ipset save kube-router-svc-mark-in',
    'ipset save inet6:kube-router-svc-mark-in',
    'ipset save kube-router-svc-mark',
    'ipset save kube-router-svc-mark-in',
  ]);
});
