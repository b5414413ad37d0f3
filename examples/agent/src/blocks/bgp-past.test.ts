import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openBgpPast } from './bgp-past.ts';
import type { BgpPastOptions } from './bgp-past.ts';

let folder = '';
let time = 0;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kra-past-'));
  time = 1_000_000;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const errors: string[] = [];
const open = (more: Partial<BgpPastOptions> = {}) =>
  openBgpPast({
    path: join(folder, 'state/bgp-peers.json'),
    boot: 'a',
    programmed: false,
    now: () => time,
    onError: (error) => errors.push(error.message),
    ...more,
  });

it('without a record the kernel speaks for every peer', () => {
  expect(open().holds('192.0.2.1', 90_000)).toBe(false);
  expect(open({ programmed: true }).holds('192.0.2.1', 90_000)).toBe(true);
});

it('peers that were up hold routes, others do not, and after a boot nobody does', async () => {
  const first = open();
  first.note(['192.0.2.1']);
  first.note(['192.0.2.1', '192.0.2.2']);
  await first.settled();
  const second = open({ programmed: true });
  expect(['192.0.2.1', '192.0.2.2', '192.0.2.3'].map((address) => second.holds(address, 90_000))).toEqual([
    true,
    true,
    false,
  ]);
  expect(open({ boot: 'b' }).holds('192.0.2.1', 90_000)).toBe(false);
});

it('a peer that was lost holds them for its restart time', async () => {
  const first = open();
  first.note(['192.0.2.1', '192.0.2.2']);
  time += 60_000;
  first.note(['192.0.2.2']);
  await first.settled();
  time += 30_000;
  expect(open().holds('192.0.2.1', 31_000)).toBe(true);
  expect(open().holds('192.0.2.1', 30_000)).toBe(false);
  expect(open().holds('192.0.2.2', 1)).toBe(true);
});

it('who is not back before the next restart is not forgotten', async () => {
  const first = open();
  first.note(['192.0.2.1', '192.0.2.2']);
  await first.settled();
  time += 5_000;
  const second = open();
  second.note(['192.0.2.1']);
  await second.settled();
  time += 5_000;
  expect(open().holds('192.0.2.2', 6_000)).toBe(true);
  expect(open().holds('192.0.2.2', 5_000)).toBe(false);
});

it('a record that is cut off counts as none, and a folder that cannot be written is told', async () => {
  const first = open();
  first.note(['192.0.2.1']);
  await first.settled();
  const path = join(folder, 'state/bgp-peers.json');
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, 20));
  expect(open().holds('192.0.2.1', 90_000)).toBe(false);
  const nowhere = open({ path: join(path, 'below/it.json') });
  nowhere.note(['192.0.2.1']);
  await nowhere.settled();
  expect(errors.join()).toMatch(/ENOTDIR/);
});
