/**
 * The suite for a real kube-apiserver, run as it is against a stand-in: what it starts it stops, and without binaries it says so.
 * Debian and npm carry no kube-apiserver, so that this much of envtest.test.ts is seen to work wherever the proofs run.
 */
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kri-stand-in-'));
  const put = async (name: string, script: string) => {
    await writeFile(join(folder, name), `#!/bin/sh\necho $$ >> ${folder}/pids\n${script}\n`);
    await chmod(join(folder, name), 0o755);
  };
  await put('kube-apiserver', `exec ${process.execPath} ${root}test/support/envtest/kube-apiserver.ts "$@"`);
  await put('etcd', 'exec sleep 600');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs the suite with this folder of binaries. */
function suite(assets: string): Promise<{ code: number; text: string }> {
  const args = [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--project',
    'peers',
    'test/peers/envtest.test.ts',
  ];
  const env = { ...process.env, KUBEBUILDER_ASSETS: assets, NO_COLOR: '1' };
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: root, env, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : 1, text: stdout + stderr });
    });
  });
}

it('without binaries it says which are missing, and skips', async () => {
  const { code, text } = await suite('');
  expect(text).toMatch(/SKIPPED: .*kube-apiserver: KUBEBUILDER_ASSETS has no etcd, kube-apiserver, kubectl/);
  expect(text).toMatch(/Tests .*skipped/);
  expect(text).not.toMatch(/Tests .*passed/);
  expect(code).toBe(0);
  expect((await suite(folder)).text).toMatch(/KUBEBUILDER_ASSETS has no kubectl/);
}, 120_000);

it('with binaries it starts them, passes, and leaves none running', async () => {
  await symlink('/usr/bin/kubectl', join(folder, 'kubectl'));
  const { code, text } = await suite(folder);
  expect(text).not.toMatch(/SKIPPED/);
  expect(code, text).toBe(0);
  console.log(
    text
      .split('\n')
      .filter((line) => /✓|Tests/.test(line))
      .join('\n'),
  );
  const pids = (await readFile(join(folder, 'pids'), 'utf8')).trim().split('\n').map(Number);
  // etcd once; the server at first, after two stops and after a kill.
  expect(pids).toHaveLength(5);
  const running = pids.filter((pid) => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  });
  expect(running).toEqual([]);
}, 400_000);
