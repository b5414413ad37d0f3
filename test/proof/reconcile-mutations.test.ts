/**
 * Whether the tests of `reconcile()` can fail: each property that it promises is broken in a copy of the code, one at a time,
 * and the tests must say so. A mutant that survives names a promise that nothing checks.
 */
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const copy = mkdtempSync(join(tmpdir(), 'kube-router-mutants-'));
const file = join(copy, 'src/kernel/reconcile.ts');
const original = readFileSync(join(root, 'src/kernel/reconcile.ts'), 'utf8');

/** What is broken, the text that does it right, and what stands there instead. */
const mutants: readonly (readonly [promise: string, right: string, wrong: string])[] = [
  ['bursts: settles', 'due.change = Math.min(burstAt + maxSettleMs, now + settleMs);', 'due.change = now;'],
  ['bursts: an endless one is served', 'Math.min(burstAt + maxSettleMs, now + settleMs)', 'now + settleMs'],
  ['bursts: changed keys add up', 'for (const key of next.dirty) dirty.add(key);', 'dirty = new Set(next.dirty);'],
  ['newest wins', '    latest = {', '    latest ??= {'],
  ['single flight', 'closed || running !== undefined || latest', 'closed || latest'],
  [
    'half-failed: tried again',
    'due.retry = clock.now() + backoffDelay(attempt++, options.backoff, random);',
    'due.retry = Infinity;',
  ],
  ['half-failed: pauses grow', 'backoffDelay(attempt++,', 'backoffDelay(0 * attempt++,'],
  ['half-failed: what is left is owed', 'for (const key of keys) troubled.add(key);', 'troubled = new Set();'],
  [
    'half-failed: an unknown outcome is read back',
    'applied.observed === undefined ? await observe() : { observed: applied.observed }',
    '{ observed: applied.observed ?? known.observed }',
  ],
  [
    'half-failed: a broken pass reads the kernel again',
    '      known = undefined;\n      unservedAt',
    '      unservedAt',
  ],
  ['drift: read at once when told', "ripe.includes('drift') || ", ''],
  ['drift: found by the resync', " || ripe.includes('resync')", ''],
  ['drift: the resync comes', 'if (resyncMs > 0 &&', 'if (resyncMs < 0 &&'],
  ['drift: nothing puts the resync off', ' && due.resync === Infinity', ''],
  ['abort: the pass under way hears it', '    abort.abort();\n', ''],
  ['abort: close waits for the pass under way', '      await running;\n', ''],
  ['abort: no timer is left', '      cancelTimer?.();\n      await running;', '      await running;'],
  ['staleness: no prune before sync', 'wanted.synced && wanted.staleSince', 'wanted.staleSince'],
  ['staleness: no prune while stale', 'wanted.synced && wanted.staleSince === undefined && ', 'wanted.synced && '],
  ['staleness: no prune after the source failed', ' && !sourceLost;', ';'],
  ['staleness: what was held back is pruned later', 'pruneOwed = !prune;', 'pruneOwed = false;'],
];

interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

/** Runs the tests of the copy as it stands. */
async function runTests(): Promise<Outcome> {
  const out = join(copy, 'report.json');
  rmSync(out, { force: true });
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const args = [vitest, 'run', '--root', copy, '--config', join(copy, 'vitest.config.mjs'), '--outputFile', out];
  await promisify(execFile)(process.execPath, [...args, '--reporter', 'json'], {
    cwd: copy,
    timeout: 150_000,
    maxBuffer: 64e6,
  }).catch(() => undefined);
  const report = JSON.parse(readFileSync(out, 'utf8')) as { numPassedTests: number; numFailedTests: number };
  return { passed: report.numPassedTests, failed: report.numFailedTests };
}

beforeAll(() => {
  for (const folder of ['src/net', 'src/kernel', 'src/testing']) {
    cpSync(join(root, folder), join(copy, folder), { recursive: true });
  }
  cpSync(join(root, 'package.json'), join(copy, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  writeFileSync(
    join(copy, 'vitest.config.mjs'),
    "export default { test: { include: ['src/kernel/reconcile*.test.ts'], bail: 1, testTimeout: 20_000 } };\n",
  );
});
afterAll(() => {
  rmSync(copy, { recursive: true, force: true });
});

describe('the tests of reconcile()', () => {
  it('pass as they are', async () => {
    expect(await runTests()).toMatchObject({ failed: 0 });
  });

  it.each(mutants)('notice when it fails at %s', async (_promise, right, wrong) => {
    expect(original.split(right)).toHaveLength(2);
    writeFileSync(
      file,
      original.replace(right, () => wrong),
    );
    const { failed } = await runTests();
    expect(failed).toBeGreaterThan(0);
  });
});
