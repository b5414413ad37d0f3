import { appendFile, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openOwnership } from './ownership.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'krk-owned-'));
  path = join(folder, 'run', 'owned.json');
});
afterEach(() => rm(folder, { recursive: true }));

it('is there again in the next process, journal or not', async () => {
  const first = await openOwnership({ path });
  await first.block('ipvs').add([['vs/10.0.0.1:80/TCP', 'rr']]);
  await first.block('routing').remember('net/ipv4/ip_forward', '0', '1');
  const second = await openOwnership({ path });
  expect(second.blocks).toEqual(['ipvs', 'routing']);
  await second.compact();
  const third = await openOwnership({ path });
  expect([...third.block('ipvs').applied]).toEqual([['vs/10.0.0.1:80/TCP', 'rr']]);
  expect([...third.block('routing').values]).toEqual([['net/ipv4/ip_forward', { before: '0', ours: '1' }]]);
  expect(await readdir(join(folder, 'run'))).toEqual(['owned.json']);
});

it('keeps the first value before, whatever we write later', async () => {
  const block = (await openOwnership({ path })).block('a');
  await block.remember('x', '0', '1');
  await block.remember('x', '1', '2');
  expect(block.values.get('x')).toEqual({ before: '0', ours: '2' });
});

it('leaves no file when nothing is owned', async () => {
  const ownership = await openOwnership({ path });
  await ownership.block('a').add([['k', 'v']]);
  await ownership.block('a').remove(['k']);
  expect(await readdir(join(folder, 'run'))).toEqual([]);
});

it('forgives a line that a crash cut off, and keeps a damaged document for people', async () => {
  const first = await openOwnership({ path });
  await first.block('a').add([['k', 'v']]);
  await appendFile(`${path}.journal`, '["a","add","half');
  const second = await openOwnership({ path });
  expect(second.damaged).toBeUndefined();
  expect([...second.block('a').applied.keys()]).toEqual(['k']);
  await second.compact();
  await writeFile(path, '{"entries": [["a", "add", 7, 8]]}');
  const third = await openOwnership({ path });
  expect(third.damaged).toMatch('not an entry');
  expect(third.blocks).toEqual([]);
  expect(await readFile(`${path}.damaged`, 'utf8')).toContain('7');
});

it('equals a plain map after any history, compaction and reopening included', async () => {
  const step = fc.record({
    verb: fc.constantFrom('add', 'remove', 'compact', 'reopen'),
    key: fc.constantFrom('a', 'b', 'c', '__proto__'),
    value: fc.string(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      await rm(join(folder, 'run'), { recursive: true, force: true });
      let ownership = await openOwnership({ path, compactAfter: 5 });
      const model = new Map<string, string>();
      for (const { verb, key, value } of steps) {
        const block = ownership.block('b');
        if (verb === 'add') {
          await block.add([[key, value]]);
          model.set(key, value);
        } else if (verb === 'remove') {
          await block.remove([key]);
          model.delete(key);
        } else if (verb === 'compact') await ownership.compact();
        else ownership = await openOwnership({ path, compactAfter: 5 });
        expect(new Map(ownership.block('b').applied)).toEqual(model);
      }
      const again = await openOwnership({ path });
      expect(new Map(again.block('b').applied)).toEqual(model);
    }),
    { numRuns: 50 },
  );
});
