import { describe, expect, test } from 'vitest';
import type { BlockOwnership } from '../../kernel/ownership.ts';
import type { Command, Runner } from '../../kernel/types.ts';
import { readNetnsPaths, readSandboxes } from './cri.ts';
import { createDsrPods } from './pods.ts';
import { decodeMessage, encodeMessage, textField } from './wire.ts';

/** Pods whose namespaces answer as `ip` and `sysctl` in them would; commands that write are kept as text. */
function fakePods(addresses: Readonly<Record<string, string>>) {
  const tunnels = new Map<string, string[]>();
  const listening = new Set<string>();
  const written: string[] = [];
  const runner: Runner = {
    run({ file, args, input = '', netns = '' }: Command) {
      const done = (stdout = '', exitCode = 0) => Promise.resolve({ exitCode, stdout, stderr: '', durationMs: 0 });
      const address = addresses[netns];
      if (address === undefined) return done('', 1);
      const vips = tunnels.get(netns);
      if (args[1] === 'fou') return done(listening.has(netns) ? 'port 5555 gue\n' : '');
      if (args[0] === '-j') {
        const links: object[] = [{ ifname: 'net7', addr_info: [{ local: address }] }];
        if (vips !== undefined) links.push({ ifname: 'kube-tunnel-if', addr_info: vips.map((local) => ({ local })) });
        return done(JSON.stringify(links));
      }
      if (file === 'sysctl' && args[0] === '-e') {
        const value = written.some((line) => line.includes('rp_filter=0')) ? 0 : 2;
        return done(`net.ipv4.conf.all.rp_filter = ${value}\nnet.ipv4.conf.net7.rp_filter = ${value}\n`);
      }
      written.push(`${netns}: ${[file, ...args].join(' ')}${input === '' ? '' : `\n${input.trimEnd()}`}`);
      if (input.includes('link del')) tunnels.delete(netns);
      if (input.includes('fou add')) listening.add(netns);
      if (input.includes('fou del')) listening.delete(netns);
      for (const [, vip = ''] of input.matchAll(/address add (\S+)\//g)) {
        tunnels.set(netns, [...(tunnels.get(netns) ?? []), vip]);
      }
      return done();
    },
  };
  return { runner, written, tunnels };
}

function memory(): BlockOwnership {
  const applied = new Map<string, string>();
  return {
    applied,
    values: new Map(),
    add(items) {
      for (const [key, text] of items) applied.set(key, text);
      return Promise.resolve();
    },
    remove(keys) {
      for (const key of keys) applied.delete(key);
      return Promise.resolve();
    },
    remember: () => Promise.resolve(),
    forget: () => Promise.resolve(),
  };
}

const WEB = { pod: 'shop/web', address: '10.1.1.2', vip: '198.51.100.5' };

describe('DSR pods', () => {
  test('prepared, recorded, released: source checks come back, nothing stays in the record', async () => {
    const { runner, written, tunnels } = fakePods({ '/run/netns/web': '10.1.1.2' });
    const owned = memory();
    const changes: string[] = [];
    const onChange = (pod: string): void => void changes.push(pod);
    await using pods = createDsrPods({ runner, owned, onChange, findNetns: () => Promise.resolve('/run/netns/web') });
    expect(pods.ready('shop/web', '10.1.1.2', '198.51.100.5')).toBe(false);
    await pods.update([WEB]);
    expect(pods.ready('shop/web', '10.1.1.2', '198.51.100.5')).toBe(true);
    expect(JSON.parse(owned.applied.get('dsr/shop/web 10.1.1.2') ?? '')).toEqual({
      netns: '/run/netns/web',
      vips: ['198.51.100.5'],
      rpFilter: { all: '2', net7: '2' },
    });
    await pods.update([]);
    expect(tunnels.size).toBe(0);
    expect(owned.applied.size).toBe(0);
    expect(changes).toEqual(['shop/web', 'shop/web']);
    expect(written.join('\n')).toBe(`/run/netns/web: ip -4 -force -batch -
link add kube-tunnel-if type ipip local 10.1.1.2
link set kube-tunnel-if up
/run/netns/web: sysctl -qw net/ipv4/conf/all/rp_filter=0 net/ipv4/conf/kube-tunnel-if/rp_filter=0 net/ipv4/conf/net7/rp_filter=0
/run/netns/web: ip -4 -force -batch -
address add 198.51.100.5/32 dev kube-tunnel-if
/run/netns/web: ip -4 -force -batch -
link del kube-tunnel-if
/run/netns/web: sysctl -qw net/ipv4/conf/all/rp_filter=2 net/ipv4/conf/net7/rp_filter=2`);
  });

  test('FoU: a listener first, taken away with the last Service that wants it', async () => {
    const { runner, written } = fakePods({ '/run/netns/web': '10.1.1.2' });
    const owned = memory();
    await using pods = createDsrPods({
      runner,
      owned,
      onChange: () => undefined,
      findNetns: () => Promise.resolve('/run/netns/web'),
    });
    await pods.update([WEB, { ...WEB, vip: '198.51.100.6', fou: true }]);
    expect(written[0]).toContain('\nfou add port 5555 gue\nlink add kube-tunnel-if');
    expect(owned.applied.get('dsr/shop/web 10.1.1.2')).toContain('"fou":true');
    await pods.update([WEB]);
    expect(written.at(-1)).toContain('\nfou del port 5555');
    expect(owned.applied.get('dsr/shop/web 10.1.1.2')).not.toContain('fou');
  });

  test('another pod of the same name and address is prepared anew', async () => {
    const { runner, tunnels } = fakePods({ '/run/netns/a': '10.1.1.2', '/run/netns/b': '10.1.1.2' });
    let netns = '/run/netns/a';
    await using pods = createDsrPods({
      runner,
      owned: memory(),
      onChange: () => undefined,
      findNetns: () => Promise.resolve(netns),
    });
    await pods.update([{ ...WEB, uid: '1' }]);
    netns = '/run/netns/b';
    await pods.update([{ ...WEB, uid: '2' }]);
    expect([...tunnels]).toEqual([
      ['/run/netns/a', ['198.51.100.5']],
      ['/run/netns/b', ['198.51.100.5']],
    ]);
  });

  test('after a restart the pod counts as ready at once; one whose Service went meanwhile is released', async () => {
    const places = { '/run/netns/web': '10.1.1.2', '/run/netns/old': '10.1.1.3' };
    const { runner, tunnels } = fakePods(places);
    const owned = memory();
    const findNetns = (pod: string) => Promise.resolve(`/run/netns/${pod.slice('shop/'.length)}`);
    const first = createDsrPods({ runner, owned, onChange: () => undefined, findNetns });
    await first.update([WEB, { pod: 'shop/old', address: '10.1.1.3', vip: '198.51.100.9' }]);
    await first.close();
    await using second = createDsrPods({ runner, owned, onChange: () => undefined, findNetns });
    expect(second.ready('shop/web', '10.1.1.2', '198.51.100.5')).toBe(true);
    await second.update([WEB]);
    expect([...tunnels.keys()]).toEqual(['/run/netns/web']);
    expect([...owned.applied.keys()]).toEqual(['dsr/shop/web 10.1.1.2']);
  });

  test('a pod without a namespace, or with another address in it, is an issue of its own', async () => {
    const { runner } = fakePods({ '/run/netns/web': '10.1.1.2', '/run/netns/other': '10.9.9.9' });
    const findNetns = (pod: string) => Promise.resolve(pod === 'shop/none' ? undefined : `/run/netns/${pod.slice(5)}`);
    await using pods = createDsrPods({ runner, onChange: () => undefined, findNetns });
    await pods.update([WEB, { ...WEB, pod: 'shop/none' }, { ...WEB, pod: 'shop/other' }]);
    expect(pods.ready('shop/web', '10.1.1.2', '198.51.100.5')).toBe(true);
    expect(pods.issues().map(({ object, reason }) => `${object}: ${reason}`)).toEqual([
      'Pod shop/none: DSR does not reach 10.1.1.2: its network namespace is not known yet; it takes no DSR traffic',
      'Pod shop/other: DSR does not reach 10.1.1.2: no interface of it has 10.1.1.2; it takes no DSR traffic',
    ]);
  });
});

describe('CRI messages', () => {
  // Bytes by hand, after the encoding guide: field 1, length-delimited, "id"; field 3, varint 300.
  test('the wire format', () => {
    const bytes = Uint8Array.of(0x0a, 0x02, 0x69, 0x64, 0x18, 0xac, 0x02);
    expect(encodeMessage([[1, 'id'], [3, 300]]).join()).toBe(bytes.join()); // prettier-ignore
    expect(textField(decodeMessage(bytes), 1)).toBe('id');
    expect(decodeMessage(bytes)[1]).toEqual({ number: 3, value: 300 });
    expect(() => decodeMessage(Uint8Array.of(0x0a, 0x05, 0x69))).toThrow(RangeError);
    expect(() => decodeMessage(Uint8Array.of(0x0b))).toThrow(RangeError);
  });
  test('the newest ready sandbox first; one that is not ready is none', () => {
    const sandbox = (id: string, state: number, created: number): [number, Uint8Array] => [
      1,
      encodeMessage([[1, id], [3, state], [4, created]]), // prettier-ignore
    ];
    const answer = encodeMessage([sandbox('old', 0, 1000), sandbox('dead', 1, 3000), sandbox('new', 0, 2000)]);
    expect(readSandboxes(answer)).toEqual(['new', 'old']);
    expect(readSandboxes(new Uint8Array())).toEqual([]);
  });
  test('path and process of a sandbox; none of one on the network of the host', () => {
    const info = JSON.stringify({
      pid: 42,
      runtimeSpec: { linux: { namespaces: [{ type: 'pid' }, { type: 'network', path: '/run/netns/cni-1' }] } },
    });
    const pair = encodeMessage([[1, 'info'], [2, info]]); // prettier-ignore
    const status = (mode: number): Uint8Array =>
      encodeMessage([[6, encodeMessage([[1, encodeMessage([[2, encodeMessage([[1, mode]])]])]])]]);
    const answer = (mode: number): Uint8Array => encodeMessage([[1, status(mode)], [2, pair]]); // prettier-ignore
    expect(readNetnsPaths(answer(0))).toEqual(['/run/netns/cni-1', '/proc/42/ns/net']);
    expect(readNetnsPaths(answer(2))).toEqual([]);
  });
});
