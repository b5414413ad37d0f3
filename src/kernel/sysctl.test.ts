import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createRecordingRunner } from '../testing/recording-runner.ts';
import { openOwnership } from './ownership.ts';
import { createSysctl } from './sysctl.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'krk-sysctl-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** A /proc/sys that is a map. */
function createSystem(values: Record<string, string>) {
  const files = new Map(Object.entries(values));
  const runner = createRecordingRunner([
    [
      'grep',
      ({ args }) => ({
        exitCode: 2,
        stdout: args
          .slice(4)
          .flatMap((path) => (files.get(path) === undefined ? [] : [`${path}:${files.get(path)}\n`]))
          .join(''),
      }),
    ],
    [
      'tee',
      ({ args, input }) => {
        files.set(args[1]!, input!.trimEnd());
        return '';
      },
    ],
  ]);
  return { files, runner };
}

it('writes what differs, names what does not exist, and gives back what is still ours', async () => {
  const { files, runner } = createSystem({
    '/proc/sys/net/ipv4/ip_forward': '0',
    '/proc/sys/net/ipv4/conf/eth0.1/rp_filter': '2',
    '/proc/sys/net/ipv4/vs/conntrack': '1',
  });
  const ownership = (await openOwnership({ path: join(folder, 'owned.json') })).block('test');
  const sysctl = createSysctl({ runner, ownership });
  const wanted = new Map([
    ['net/ipv4/ip_forward', '1'],
    ['net/ipv4/conf/eth0.1/rp_filter', '0'],
    ['net/ipv4/vs/conntrack', '1'],
    ['net/none', '1'],
  ]);
  const { written, failures } = await sysctl.write(wanted);
  expect(written).toEqual(['net/ipv4/ip_forward', 'net/ipv4/conf/eth0.1/rp_filter']);
  expect([...failures.keys()]).toEqual(['net/none']);
  expect((await sysctl.write(wanted)).written).toEqual([]);

  files.set('/proc/sys/net/ipv4/conf/eth0.1/rp_filter', '1'); // an administrator
  expect(await sysctl.restore({ dryRun: true })).toHaveLength(2);
  expect(await sysctl.restore()).toEqual([
    { name: 'net/ipv4/ip_forward', outcome: 'restored' },
    { name: 'net/ipv4/conf/eth0.1/rp_filter', outcome: 'changed by someone else' },
  ]);
  expect(Object.fromEntries(files)).toEqual({
    '/proc/sys/net/ipv4/ip_forward': '0',
    '/proc/sys/net/ipv4/conf/eth0.1/rp_filter': '1',
    '/proc/sys/net/ipv4/vs/conntrack': '1',
  });
  expect(await sysctl.restore()).toEqual([]);
});

it('refuses names that leave /proc/sys', async () => {
  const sysctl = createSysctl({ runner: createRecordingRunner() });
  for (const name of ['', '../../etc/passwd', 'net/../../x', '/net', 'net//x', 'a\nb']) {
    await expect(sysctl.read([name])).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  }
});
