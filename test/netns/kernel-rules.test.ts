/** ipset, iptables of both flavours and families, nft and conntrack against the machine's kernel, in a namespace of their own. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Ipset, IptablesFlavour } from 'kube-router-sdk/kernel';
import {
  createConntrack,
  createIpset,
  createIptables,
  createNetns,
  createNft,
  createRunner,
  detectIptablesFlavour,
  iptablesProgram,
  joinRule,
  removeNetns,
  renderIpset,
  renderIpsetChange,
  splitElement,
  splitRule,
} from 'kube-router-sdk/kernel';

const runner = createRunner();
const name = `krk-rules-${process.pid}`;
let netns: string;
beforeEach(async () => {
  netns = await createNetns(runner, name);
});
afterEach(() => removeNetns(runner, name));

const set = (
  name: string,
  header: Ipset['header'],
  ...entries: (string | { element: string; nomatch?: boolean; comment?: string; timeout?: number })[]
): Ipset => ({
  name,
  header,
  entries: new Map(
    entries.map((entry) => (typeof entry === 'string' ? [entry, { element: entry }] : [entry.element, entry])),
  ),
});

describe('ipset', () => {
  const sets = [
    set('krk-ip', { type: 'hash:ip' }, '10.0.0.1', '10.0.0.2'),
    set(
      'krk-net',
      { type: 'hash:net', maxelem: 1000 },
      ...splitElement('0.0.0.0/0'),
      { element: '10.0.0.0/8', nomatch: true },
      '10.1.1.1',
    ),
    set('krk-net6', { type: 'hash:net', family: 6, timeout: 0, comment: true }, ...splitElement('::/0'), {
      element: '2001:db8::/32',
      nomatch: true,
      comment: 'a policy',
    }),
    set('krk-ipport', { type: 'hash:ip,port' }, '10.0.0.1,tcp:80', '10.0.0.1,udp:53', '10.0.0.1,sctp:90'),
    set('krk-netport', { type: 'hash:net,port', family: 6 }, '2001:db8::/32,tcp:80', '2001:db8::1,udp:53'),
    set('krk-list', { type: 'list:set', size: 16 }, 'krk-ip', 'krk-net'),
  ];

  it('every type is written, read back, and then needs no change', async () => {
    const driver = createIpset({ runner, netns });
    expect(await driver.restore(sets.flatMap(renderIpset))).toEqual([]);
    const read = await driver.save();
    expect([...read.keys()].sort()).toEqual(sets.map((one) => one.name).sort());
    for (const one of sets) {
      expect([...read.get(one.name)!.entries.keys()].sort()).toEqual([...one.entries.keys()].sort());
      expect(renderIpsetChange(one, read.get(one.name))).toEqual([]);
    }
    expect(read.get('krk-net6')!.entries.get('2001:db8::/32')).toMatchObject({ nomatch: true, comment: 'a policy' });
    expect((await driver.save(['krk-ip', 'krk-none'])).size).toBe(1);
  });

  it('a change touches only what differs; other options are built beside and swapped in, under a rule that names the set', async () => {
    const driver = createIpset({ runner, netns });
    await driver.restore(renderIpset(sets[0]!));
    const rules = createIptables({ runner, netns, family: 4, flavour: 'nft' });
    expect(
      await rules.restore([{ table: 'filter', lines: ['-A INPUT -m set --match-set krk-ip src -j ACCEPT'] }]),
    ).toEqual([]);
    const less = set('krk-ip', { type: 'hash:ip' }, '10.0.0.2', '10.0.0.3');
    expect(renderIpsetChange(less, sets[0])).toEqual(['add krk-ip 10.0.0.3', 'del krk-ip 10.0.0.1']);
    const larger = set('krk-ip', { type: 'hash:ip', maxelem: 100_000 }, '10.0.0.9');
    expect(await driver.restore(renderIpsetChange(larger, (await driver.save()).get('krk-ip')))).toEqual([]);
    const read = await driver.save();
    expect(renderIpsetChange(larger, read.get('krk-ip'))).toEqual([]);
    expect([...read.keys()]).toEqual(['krk-ip']);
  });

  it('a bad line is named and costs no other', async () => {
    const driver = createIpset({ runner, netns });
    const failures = await driver.restore([
      'create a hash:ip',
      'add a nonsense',
      'add a 10.0.0.1',
      'add none 10.0.0.1',
      'add a 10.0.0.2',
    ]);
    expect(failures.map(({ item }) => item)).toEqual(['add a nonsense', 'add none 10.0.0.1']);
    expect([...(await driver.save()).get('a')!.entries.keys()].sort()).toEqual(['10.0.0.1', '10.0.0.2']);
    // The same around a swap, which must not happen twice.
    const swapped = ['create b hash:ip', 'add b 10.0.0.7', 'swap a b', 'add b 10.0.0.8', 'add b bad', 'add b 10.0.0.9'];
    expect((await driver.restore(swapped)).map(({ item }) => item)).toEqual(['add b bad']);
    const read = await driver.save();
    expect([...read.get('a')!.entries.keys()]).toEqual(['10.0.0.7']);
    expect([...read.get('b')!.entries.keys()].sort()).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.8', '10.0.0.9']);
  });
});

describe.each<IptablesFlavour>(['legacy', 'nft'])('iptables-%s', (flavour) => {
  it.each([4, 6] as const)(
    'IPv%s: chains of our own are written, emptied and read back; the others stay',
    async (family) => {
      const driver = createIptables({ runner, netns, family, flavour });
      const any = family === 4 ? '10.0.0.0/8' : 'fd00::/8';
      await runner.run({
        file: iptablesProgram(family, flavour),
        args: ['-A', 'INPUT', '-s', any, '-j', 'DROP'],
        netns,
      });
      const rules = [
        `-d ${any} -p tcp -m tcp --dport 80 -m comment --comment "say \\"hi\\" to all" -j ACCEPT`,
        '-j RETURN',
      ];
      const batch = [
        {
          table: 'filter' as const,
          declare: ['KRK-A', 'KRK-B'],
          lines: [...rules.map((rule) => `-A KRK-A ${rule}`), '-A KRK-B -j KRK-A', '-I INPUT 1 -j KRK-B'],
        },
        { table: 'nat' as const, declare: ['KRK-N'], lines: ['-A KRK-N -j MASQUERADE'] },
      ];
      expect(await driver.restore(batch)).toEqual([]);
      const state = await driver.save();
      expect(state.get('filter')!.get('KRK-A')!.rules).toEqual(rules);
      expect(splitRule(rules[0]!)).toContain('say "hi" to all');
      expect(joinRule(splitRule(rules[0]!))).toBe(rules[0]);
      expect(state.get('filter')!.get('INPUT')).toEqual({ policy: 'ACCEPT', rules: ['-j KRK-B', `-s ${any} -j DROP`] });
      expect(state.get('nat')!.get('KRK-N')!.rules).toEqual(['-j MASQUERADE']);
      expect(await driver.restore([{ table: 'filter', declare: ['KRK-A'], lines: [] }])).toEqual([]);
      expect((await driver.save('filter')).get('filter')!.get('KRK-A')!.rules).toEqual([]);
    },
  );

  it('a table that is refused stays as it was, and is named; those before and behind it are done', async () => {
    const driver = createIptables({ runner, netns, family: 4, flavour });
    const failures = await driver.restore([
      { table: 'mangle', declare: ['KRK-M'], lines: ['-A KRK-M -j ACCEPT'] },
      { table: 'filter', declare: ['KRK-A'], lines: ['-A KRK-A -j ACCEPT', '-A KRK-A -j NO-SUCH-CHAIN'] },
      { table: 'nat', declare: ['KRK-N'], lines: ['-A KRK-N -j MASQUERADE'] },
    ]);
    expect(failures.map(({ item }) => item)).toEqual(['filter']);
    expect(failures[0]!.error).toMatchObject({ code: 'COMMAND_FAILED' });
    const state = await driver.save();
    expect(state.get('mangle')!.get('KRK-M')!.rules).toHaveLength(1);
    expect(state.get('filter')?.get('KRK-A')).toBeUndefined();
    expect(state.get('nat')!.get('KRK-N')!.rules).toHaveLength(1);
  });

  it('is found to be what the host uses', async () => {
    await runner.run({ file: iptablesProgram(4, flavour), args: ['-t', 'mangle', '-N', 'KUBE-IPTABLES-HINT'], netns });
    const other = flavour === 'nft' ? 'legacy' : 'nft';
    for (const port of ['1', '2']) {
      await runner.run({
        file: iptablesProgram(4, other),
        args: ['-A', 'INPUT', '-p', 'tcp', '--dport', port, '-j', 'ACCEPT'],
        netns,
      });
    }
    expect(await detectIptablesFlavour(runner, { netns })).toBe(flavour);
  });
});

it('the flavour with more rules is the host’s, where nobody left a hint', async () => {
  await runner.run({ file: 'iptables-legacy', args: ['-A', 'INPUT', '-j', 'ACCEPT'], netns });
  expect(await detectIptablesFlavour(runner, { netns })).toBe('legacy');
});

it('nft: one transaction, whole or not at all, with its line', async () => {
  const nft = createNft({ runner, netns });
  const table = { family: 'inet', name: 'krk' } as const;
  expect(await nft.list(table)).toBeUndefined();
  await nft.apply('table inet krk {\n chain a { }\n}\n');
  await expect(nft.apply('add chain inet krk b\nadd rule inet krk nope accept\n')).rejects.toMatchObject({
    code: 'COMMAND_FAILED',
    details: { line: 2, lineText: 'add rule inet krk nope accept' },
  });
  await nft.check('add chain inet krk c\n');
  const chains = (await nft.list(table))!.flatMap((item) =>
    'chain' in item ? [(item['chain'] as { name: string }).name] : [],
  );
  expect(chains).toEqual(['a']);
});

it('conntrack: what is tracked is listed, and ended by its tuple', async () => {
  await runner.run({
    file: 'iptables-nft',
    args: ['-A', 'INPUT', '-m', 'conntrack', '--ctstate', 'NEW', '-j', 'ACCEPT'],
    netns,
  });
  const script = `
    const s = require('dgram').createSocket('udp4');
    s.send('x', 7777, '127.0.0.1', () => s.send('x', 7778, '127.0.0.1', () => s.close()));`;
  await runner.run({ file: process.execPath, args: ['-e', script], netns });
  const driver = createConntrack({ runner, netns });
  const found = await driver.list({ protocol: 'udp' });
  expect(found.map(({ original }) => original.destinationPort).sort()).toEqual([7777, 7778]);
  expect(found[0]).toMatchObject({
    family: 4,
    protocol: 'udp',
    original: { source: '127.0.0.1' },
    flags: ['UNREPLIED'],
  });
  const filter = { protocol: 'udp', destination: '127.0.0.1', destinationPort: 7777 } as const;
  expect(await driver.delete(filter)).toBe(1);
  expect(await driver.delete(filter)).toBe(0);
  expect((await driver.list({ protocol: 'udp' })).map(({ original }) => original.destinationPort)).toEqual([7778]);
});
