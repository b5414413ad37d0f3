import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openOwnership } from 'kube-router-sdk/kernel';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openBgpPast } from './bgp-past.ts';
import type { BgpPast } from './bgp-past.ts';

let folder = '';
let time = 0;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kra-past-'));
  time = 1_000_000;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const record = () => openOwnership({ path: join(folder, 'run/owned.json') });
/** A process that starts now. */
const start = async (programmed = false): Promise<BgpPast> =>
  openBgpPast({ owned: (await record()).block('bgp'), programmed, now: () => time });

it('without a record the kernel speaks for every peer', async () => {
  expect((await start()).holds('192.0.2.1', 90_000)).toBe(false);
  expect((await start(true)).holds('192.0.2.1', 90_000)).toBe(true);
});

it('peers that were up hold routes, others do not, and after a boot nobody does', async () => {
  const first = await start();
  await Promise.all([first.note('192.0.2.1', true), first.note('192.0.2.2', true)]);
  const second = await start(true);
  expect(['192.0.2.1', '192.0.2.2', '192.0.2.3'].map((address) => second.holds(address, 90_000))).toEqual([
    true,
    true,
    false,
  ]);
  rmSync(join(folder, 'run'), { recursive: true });
  expect((await start()).holds('192.0.2.1', 90_000)).toBe(false);
});

it('a peer that was lost holds them for its restart time', async () => {
  const first = await start();
  await first.note('192.0.2.1', true);
  await first.note('192.0.2.2', true);
  time += 60_000;
  await first.note('192.0.2.1', false);
  time += 30_000;
  expect((await start()).holds('192.0.2.1', 31_000)).toBe(true);
  expect((await start()).holds('192.0.2.1', 30_000)).toBe(false);
  expect((await start()).holds('192.0.2.2', 1)).toBe(true);
});

it('who is not back before the next restart is not forgotten, but after the longest restart time', async () => {
  const first = await start();
  await first.note('192.0.2.1', true);
  await first.note('192.0.2.2', true);
  time += 5_000;
  await (await start()).note('192.0.2.1', true);
  time += 5_000;
  expect((await start()).holds('192.0.2.2', 6_000)).toBe(true);
  expect((await start()).holds('192.0.2.2', 5_000)).toBe(false);
  time += 4_095_000;
  await (await start()).note('192.0.2.1', true);
  expect([...(await record()).block('bgp').applied]).toEqual([['192.0.2.1', 'up']]);
});
