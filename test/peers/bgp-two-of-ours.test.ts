/**
 * What no daemon of Debian 12 has, or shows on the wire when we want to see it: two speakers of ours, the other one in a process of its
 * own, and a capture that tshark reads.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import type { SpeakerOptions } from 'kube-router-sdk/bgp';
import { netns, pause, speak, tidy, undo, up } from '../support/bgp.ts';
import type { TestNetns } from '../support/netns.ts';
import { sh, until } from '../support/netns.ts';

afterEach(tidy);

const program = fileURLToPath(new URL('../../bench/bgp/speaker.ts', import.meta.url));

/** Another speaker, at the far end or at another address there. */
async function other(
  ns: TestNetns,
  peer: Partial<NonNullable<SpeakerOptions['peers']>[number]>,
  address = ns.there4,
): Promise<ChildProcess> {
  const options: SpeakerOptions = {
    asn: 65000,
    routerId: address,
    listen: [{ address, port: 179 }],
    peers: [{ address: ns.here4, asn: 65001, passive: true, ...peer }],
  };
  const child = ns.spawn(process.execPath, [program, JSON.stringify(options), 'unwatched']);
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await until('the other speaker', () => said.includes('listening'));
  return child;
}

/** What crosses the link from now on; `read` gives lines of tab-separated fields. */
async function capture(
  ns: TestNetns,
): Promise<{ read(filter: string, ...fields: readonly string[]): Promise<string[]> }> {
  const folder = mkdtempSync(join(tmpdir(), 'krbg-cap-'));
  undo(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'link.pcap');
  const dump = ns.spawn('tcpdump', [
    '-i',
    ns.thereIf,
    '-U',
    // Else the kernel hands packets over up to a second late.
    '--immediate-mode',
    '-s',
    '400',
    '-Z',
    'root',
    '-w',
    file,
    'tcp',
    'port',
    '179',
  ]);
  let said = '';
  dump.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await until('the capture', () => said.includes('listening on'));
  return {
    async read(filter, ...fields) {
      await pause(500);
      const wanted = fields.flatMap((field) => ['-e', field]);
      const text = sh('tshark', ['-r', file, '-Y', filter, '-T', 'fields', ...wanted]);
      return text.split('\n').filter((line) => line !== '');
    },
  };
}

it('send hold timer (RFC 9687): who takes nothing for so long is left', async () => {
  const ns = netns();
  // Little room, so that what is not read soon fills it.
  ns.exec('sysctl', ['-qw', 'net.ipv4.tcp_rmem=4096 8192 8192']);
  const child = await other(ns, {});
  const { speaker, events } = await speak(ns, { sendHoldTime: 3, families: ['ipv4-unicast'] });
  await up(speaker);
  const seen = await capture(ns);
  child.kill('SIGSTOP');
  // Each with attributes of its own: some ten megabytes, more than the system takes over.
  speaker.setAdvertisements(
    Array.from({ length: 100_000 }, (_, index) => ({
      prefix: `10.${(index >> 8) & 255}.${index & 255}.${(index >> 16) * 128}/25`,
      origin: 'other' as const,
      attributes: { communities: [`65001:${index & 65_535}`, `65001:${index >> 16}`, '65001:1', '65001:2', '65001:3'] },
    })),
  );
  await until('the end', () => events.some((event) => event.startsWith('down: send hold timer expired')));
  expect(speaker.peers()[0]?.lastError).toContain('send hold timer expired');
  const zero = `tcp.analysis.zero_window && ip.src == ${ns.there4}`;
  expect(await seen.read(zero, 'frame.number')).not.toEqual([]);
  // The last word cannot get through a full window: the connection is given up behind it, which the other sees as soon as it reads on.
  await pause(2500);
  child.kill('SIGCONT');
  const ended = `ip.src == ${ns.here4} && (tcp.flags.fin == 1 || tcp.flags.reset == 1 || bgp.notify.major_error == 8)`;
  await until('the end of the connection', async () => (await seen.read(ended, 'frame.number')).length > 0);
});

it('selection deferral (RFC 4724): after a restart our routes are told at once, their end when the last peer has said its own', async () => {
  const ns = netns();
  const third = ns.there4.replace(/\.2$/, '.3');
  ns.exec('ip', ['addr', 'add', `${third}/24`, 'dev', ns.thereIf]);
  const graceful = { gracefulRestart: { restartTime: 30 } };
  const seen = await capture(ns);
  await other(ns, graceful);
  const session = { asn: 65000, connectRetryTime: 1, idleHoldTime: 0.2, families: ['ipv4-unicast'] as const };
  const back = { gracefulRestart: { restartTime: 30, restarting: true } };
  const { speaker } = await speak(
    ns,
    {},
    { peers: [ns.there4, third].map((address) => ({ ...session, ...back, address })) },
  );
  speaker.setAdvertisements([{ prefix: '10.1.0.0/16', origin: 'other' }]);
  await until('the first', () => speaker.peers()[0]?.synced === true);
  await pause(2000);
  // An UPDATE of 23 octets is End-of-RIB.
  const end = (from: string): string => `bgp.type == 2 && bgp.length == 23 && ip.src == ${from}`;
  expect(await seen.read(`bgp.nlri_prefix && ip.src == ${ns.here4}`, 'ip.dst')).toEqual([ns.there4]);
  expect(await seen.read(end(ns.here4), 'frame.number')).toEqual([]);
  await other(ns, graceful, third);
  await until('both are told all', async () => (await seen.read(end(ns.here4), 'ip.dst')).length === 2);
  expect((await seen.read(`bgp.nlri_prefix && ip.src == ${ns.here4}`, 'ip.dst')).sort()).toEqual([ns.there4, third]);
  // The OPEN says that we restarted and kept forwarding.
  expect(await seen.read(`bgp.type == 1 && ip.src == ${ns.here4}`, 'bgp.cap.gr.timers.restart_flag')).toContainEqual(
    expect.stringMatching(/^(1|True)$/),
  );
  const at = async (filter: string): Promise<number> => Number((await seen.read(filter, 'frame.number'))[0]);
  const lastEnd = await at(end(third));
  expect(lastEnd).toBeGreaterThan(0);
  expect(await at(end(ns.here4))).toBeGreaterThan(lastEnd);
});

it('BFD down (RFC 9384): the session ends with Cease, subcode 10, at once', async () => {
  const ns = netns();
  const bfd = { interval: 100, multiplier: 3 };
  await other(ns, { bfd });
  const { speaker, events } = await speak(ns, { bfd });
  await up(speaker);
  await until('BFD', () => speaker.peers()[0]?.bfd === 'up');
  const seen = await capture(ns);
  ns.exec('nft', [
    'add table inet silence; add chain inet silence in { type filter hook input priority 0; }; add chain inet silence out { type filter hook output priority 0; }; add rule inet silence in udp dport 3784 drop; add rule inet silence out udp dport 3784 drop',
  ]);
  const began = performance.now();
  await until('the end', () => events.some((event) => event.startsWith('down: ')));
  expect(performance.now() - began).toBeLessThan(1000);
  const said = await seen.read('bgp.notify.major_error == 6', 'ip.src', 'bgp.notify.minor_error_cease');
  expect(said.length).toBeGreaterThan(0);
  // Whoever found out first says it; without graceful restart as it is, not wrapped in a hard reset.
  for (const line of said) expect(line.split('\t')[1]).toBe('10');
});
