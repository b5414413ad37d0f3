/**
 * A project of somebody else: installs the packed tarball by npm, takes the agent of the guide as it stands there, once as TypeScript
 * and once as JavaScript, type-checks the former, and runs both in a kernel with IPVS beside a router with FRR.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runGuest } from '../../examples/lab/guest.ts';
import { readBlocks, root } from '../support/doc-blocks.ts';

const exec = promisify(execFile);
const node = join(root, 'node_modules/node/bin/node');
// outside the checkout's own package scope, so that nothing is found by accident
const folder = join('/var/tmp', `kube-router-sdk-scratch-${process.pid}`);
const page = 'docs/guide/build-your-own-agent.md';
const files = new Map(
  readBlocks(page, readFileSync(join(root, page), 'utf8')).flatMap(({ file, code }) =>
    file === undefined ? [] : [[file, `${code}\n`]],
  ),
);

beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  const { stdout } = await exec('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    cwd: root,
  });
  const [packed] = JSON.parse(stdout) as [{ filename: string }];
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'scratch', private: true, type: 'module' }));
  await exec('npm', ['install', '--no-audit', '--no-fund', `./${packed.filename}`, 'rxjs@7'], { cwd: folder });
  for (const [name, text] of files) writeFileSync(join(folder, name), text);
  writeFileSync(join(folder, 'agent.mjs'), files.get('agent.ts') ?? '');
}, 300_000);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

it('the agent is as long as the guide says', () => {
  const lines = (files.get('agent.ts') ?? '').trim().split('\n');
  expect(lines.length).toBeLessThanOrEqual(62);
});

it('the agent is right TypeScript against the installed declarations', async () => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const options =
    '--noEmit --strict --skipLibCheck --module nodenext --target es2023 --lib es2023,esnext.disposable --types node --typeRoots';
  await exec(node, [tsc, ...options.split(' '), join(root, 'node_modules/@types'), 'agent.ts'], { cwd: folder });
});

it.each(['agent.ts', 'agent.mjs'])(
  '%s runs: IPVS and the router know the Service, and forget it when told',
  async (name) => {
    let output = '';
    const { status } = await runGuest({
      cwd: folder,
      memoryMb: 1024,
      timeoutMs: 180_000,
      stdio: 'pipe',
      onOutput: (text) => {
        output += text;
      },
      command: [
        `PATH=$PATH:/usr/sbin:/sbin`,
        `sh ${root}/examples/router.sh tor 192.0.2.254 65000 64512`,
        `${node} ${name} agent.json & agent=$!`,
        'until ipvsadm -Ln | grep -q 10.1.1.2 && tor show bgp ipv4 unicast 203.0.113.80/32 | grep -q best; do sleep 0.2; done',
        'ipvsadm -Ln',
        `sed -i 's/ready: true/ready: false/' shop.yaml`,
        'while tor show bgp ipv4 unicast 203.0.113.80/32 | grep -q best; do sleep 0.2; done',
        'kill $agent; wait $agent; echo "ended with $?"',
      ].join('\n'),
    });
    expect(status, output).toBe(0);
    expect(output).toContain('TCP  203.0.113.80:80 rr');
    expect(output).toContain('10.1.1.2:8080');
    expect(output).toContain('ended with 0');
  },
);
