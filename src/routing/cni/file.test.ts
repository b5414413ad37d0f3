/** The CNI file on disk: replaced whole or not at all, its text before given back, a crash at any moment leaves a whole file. */
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openOwnership } from '../../kernel/ownership.ts';
import { createCniTarget, restoreCni } from './file.ts';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'krr-cni-'))));
afterEach(() => rm(folder, { recursive: true, force: true }));

const old = '{"type":"bridge","ipam":{"type":"host-local"},"mine":true}';
const state = { podCidrs: ['10.244.1.0/24'], mtu: 1480 };
const signal = new AbortController().signal;

async function pass(target: ReturnType<typeof createCniTarget>) {
  const wanted = target.plan(state, await target.observe(signal), { prune: true });
  return { size: target.size(wanted), applied: await target.apply(wanted, signal) };
}

test('edits once, keeps the mode, leaves nothing beside, and gives back what was there', async () => {
  const path = join(folder, '10-kuberouter.conf');
  await writeFile(path, old);
  await chmod(path, 0o600);
  const ownership = await openOwnership({ path: join(folder, 'owned.json') });
  const target = createCniTarget({ path, ownership: ownership.block('cni') });
  expect((await pass(target)).size).toBe(1);
  expect((await pass(target)).size).toBe(0);
  expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ mtu: 1480, mine: true });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await readdir(folder)).filter((name) => name.includes('10-'))).toEqual(['10-kuberouter.conf']);

  const again = await openOwnership({ path: join(folder, 'owned.json') });
  expect(await restoreCni({ ownership: again.block('cni'), dryRun: true })).toEqual([{ path, outcome: 'restored' }]);
  expect(await restoreCni({ ownership: again.block('cni') })).toEqual([{ path, outcome: 'restored' }]);
  expect(await readFile(path, 'utf8')).toBe(old);
  expect(await restoreCni({ ownership: again.block('cni') })).toEqual([]);
});

test('a file that someone changed since is not given back', async () => {
  const path = join(folder, 'a.conflist');
  await writeFile(path, old);
  const ownership = (await openOwnership({ path: join(folder, 'owned.json') })).block('cni');
  await pass(createCniTarget({ path, ownership }));
  await writeFile(path, '{}');
  expect(await restoreCni({ ownership })).toEqual([{ path, outcome: 'changed by someone else' }]);
  expect(await readFile(path, 'utf8')).toBe('{}');
});

test('a missing or unusable file is a failure that names it, and is made only when asked', async () => {
  const path = join(folder, 'none.conflist');
  expect((await pass(createCniTarget({ path }))).applied.failures).toMatchObject([
    { item: path, error: { code: 'INVALID_OBJECT' } },
  ]);
  expect((await pass(createCniTarget({ path, create: true }))).applied.failures).toEqual([]);
  await writeFile(path, 'rubbish');
  expect((await pass(createCniTarget({ path, create: true }))).applied.failures).toMatchObject([
    { item: path, error: { code: 'INVALID_OBJECT' } },
  ]);
  expect(await readFile(path, 'utf8')).toBe('rubbish');
});

test('a process killed while it writes leaves the old file or a new one, whole', async () => {
  const path = join(folder, '10-kuberouter.conflist');
  const big = JSON.stringify({ type: 'bridge', ipam: {}, padding: 'x'.repeat(2_000_000) });
  await writeFile(path, big);
  const script = `
    import { replaceFile } from ${JSON.stringify(new URL('file.ts', import.meta.url).href)};
    process.stdout.write('ready');
    for (let i = 0; ; i++) await replaceFile(${JSON.stringify(path)}, JSON.stringify({ type: 'bridge', ipam: {}, i, padding: 'y'.repeat(2_000_000) }));
  `;
  let writtenOver = 0;
  for (let round = 0; round < 6; round++) {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = new Promise((resolve) => child.once('exit', resolve));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await new Promise((resolve) => setTimeout(resolve, 20 + round * 17));
    child.kill('SIGKILL');
    await exited;
    const found = JSON.parse(await readFile(path, 'utf8')) as { padding: string };
    expect(found.padding).toHaveLength(2_000_000);
    if (found.padding.startsWith('y')) writtenOver++;
  }
  // The child did write: otherwise this test would show nothing.
  expect(writtenOver).toBeGreaterThan(0);
  // What a crash left beside is no configuration to a container runtime, and the next write takes it away.
  const left = (await readdir(folder)).filter((name) => name !== '10-kuberouter.conflist');
  expect(left.every((name) => !/\.(conf|conflist|json)$/.test(name))).toBe(true);
});
