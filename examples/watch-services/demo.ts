/** Shows main.ts at work: a test API server, and things that happen to a Service. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildEndpointSlice, buildService, createApiServer } from 'kube-router-sdk/testing';

await using server = await createApiServer();
const folder = await mkdtemp(join(tmpdir(), 'watch-services-'));
const kubeconfig = join(folder, 'kubeconfig');
await writeFile(kubeconfig, server.kubeconfig());
const main = fileURLToPath(new URL('main.ts', import.meta.url));
const watcher = spawn(process.execPath, [main, kubeconfig], { stdio: ['ignore', 'pipe', 'ignore'] });

/** Waits for the next line of the watcher. */
const lines: string[] = [];
let wake: () => void = () => undefined;
watcher.stdout.on('data', (chunk: Buffer) => {
  process.stdout.write(chunk);
  lines.push(...chunk.toString().trim().split('\n'));
  wake();
});
const line = async (): Promise<void> => {
  while (lines.shift() === undefined) await new Promise<void>((resolve) => (wake = resolve));
};

const endpoints = (ready: readonly boolean[]): unknown =>
  buildEndpointSlice('shop/web', {
    endpoints: ready.map((one, n) => ({ address: `10.1.1.${n + 2}`, ready: one })),
    ports: [{ port: 8080 }],
  });
server.apply(buildService('shop/web', { clusterIPs: ['10.96.0.10'], ports: [{ port: 80 }] }));
await line();
server.apply(endpoints([true, true]));
await line();
server.apply(endpoints([true, false]));
await line();
server.dropConnections(); // nobody notices
server.remove('Service', 'web', 'shop');
await line();
watcher.kill();
await rm(folder, { recursive: true });
