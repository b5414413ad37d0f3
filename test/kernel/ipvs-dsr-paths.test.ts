import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { runInQemu } from '../support/qemu.ts';
import { runInUml } from '../support/uml.ts';

interface Answer {
  failures: string[];
  before: string[];
  prepared: string;
  table: Record<string, string[]>;
  bulk: Record<string, string[]>;
  counted: string[];
  after: string[];
}

// User-mode Linux has no FoU links; Debian's stock kernel does.
describe.each([
  ['IPIP', 'ipip', runInUml, ['none', 'some', 'none', 'some']],
  ['UDP (FoU, GUE)', 'fou', runInQemu, ['some', 'none', 'some', 'none']],
] as const)('DSR in %s', (_name, encap, run, counted) => {
  let answer: Answer;
  beforeAll(async () => {
    const file = fileURLToPath(new URL('guests/ipvs-dsr-paths.ts', import.meta.url));
    const env = { ENCAP: encap };
    const modules = [
      'ip_vs',
      'dummy',
      'br_netfilter',
      'ipip',
      'ip6_tunnel',
      ...(encap === 'fou' ? ['fou', 'fou6'] : []),
    ];
    const result = await run({ name: `dsr-${encap}`, node: { file }, env, modules, memMb: 1024, timeoutMs: 560_000 });
    answer = JSON.parse(result.files['answer.json'] ?? '') as Answer;
  }, 580_000);

  test('everything is programmed, and the pods are prepared', () => {
    expect(answer.failures).toEqual([]);
    expect(answer.prepared).toContain('kube-tunnel-if 198.51.100.9/32');
    expect(answer.prepared).toContain('kube-tunnel-v6 2001:db8:e::9/128');
    expect(answer.prepared).toContain('net.ipv4.conf.all.rp_filter = 0\nnet.ipv4.conf.eth0.rp_filter = 0\n');
    expect(answer.prepared.includes('port 5555 gue')).toBe(encap === 'fou');
  });
  test.each([
    ['outside', '192.168.1.100', 'fd10::100'],
    ['node', '192.168.1.11', 'fd10::11'],
    ['pod', '10.1.1.3', 'fd01:1::3'],
  ])('from the %s: the near and the far pod answer, and see the client', (path, four, six) => {
    const seen = Object.fromEntries(Object.entries(answer.table).filter(([name]) => name.startsWith(path)));
    const both = (client: string): string[] => [`pa ${client}`, `pb ${client}`];
    const expected = Object.fromEntries(
      ['tcp', 'udp', 'sctp'].flatMap((proto) => [
        [`${path} ${proto}4`, both(four)],
        [`${path} ${proto}6`, both(six)],
      ]),
    );
    // Of its own SCTP packets the kernel leaves the CRC to the device, and spoils the sum of the UDP around them (lco_csum).
    if (encap === 'fou' && path === 'node') expected['node sctp6'] = ['timeout'];
    expect(seen).toEqual(expected);
  });
  test('segments fit: 200,000 bytes there and back, to either pod', () => {
    const twice = ['200000', '200000'];
    expect(answer.bulk).toEqual({ 'ext 4': twice, 'ext 6': twice, 'pc 4': twice, 'pc 6': twice });
  });
  test('what a director sends to a pod elsewhere travels so and no other way', () => {
    expect(answer.counted).toEqual(counted);
  });
  test('when the Service is gone the pods are as before', () => {
    expect(answer.after).toEqual(answer.before);
  });
});
