/**
 * The CRI client against Debian's containerd: real sandboxes on a real CNI network, found by the name of their pod.
 */
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCri } from '../../src/ipvs/index.ts';
import { createRunner, sameNetns } from '../../src/kernel/index.ts';
import { startContainerd } from '../support/containerd.ts';
import type { Containerd } from '../support/containerd.ts';

const runner = createRunner();
let containerd: Containerd;
beforeAll(async () => {
  containerd = await startContainerd('krscri', '10.222.7.0/24');
}, 60_000);
afterAll(() => containerd.close());

const addressIn = async (netns: string): Promise<string> =>
  (await runner.run({ file: 'ip', args: ['-4', '-o', 'addr', 'show', 'dev', 'eth0'], netns })).stdout;

describe('pods of containerd', () => {
  test('each pod has a namespace of its own, found by namespace and name', async () => {
    await using cri = createCri({ endpoint: `unix://${containerd.socket}` });
    await containerd.runPod('shop/web-1');
    await containerd.runPod('other/web-1');
    const [one, two] = [await cri.findNetns('shop/web-1'), await cri.findNetns('other/web-1')];
    expect(await addressIn(one ?? '')).toContain('inet 10.222.7.2/');
    expect(await addressIn(two ?? '')).toContain('inet 10.222.7.3/');
    expect(await sameNetns(one ?? '', '/proc/self/ns/net')).toBe(false);
  });

  test('a pod that is not there, or whose name is the beginning of another, has none', async () => {
    await using cri = createCri({ endpoint: containerd.socket });
    expect(await cri.findNetns('shop/absent')).toBeUndefined();
    expect(await cri.findNetns('shop/web')).toBeUndefined();
  });

  test('a pod on the network of the host is never entered', async () => {
    await containerd.runPod('shop/host', { hostNetwork: true });
    await using cri = createCri({ endpoint: containerd.socket });
    expect(await cri.findNetns('shop/host')).toBeUndefined();
  });

  test('after a restart of its sandbox the pod is found in the new one; ended, it is not found', async () => {
    await using cri = createCri({ endpoint: containerd.socket });
    const first = await containerd.runPod('shop/again', { uid: 'u-1' });
    const before = await cri.findNetns('shop/again');
    await containerd.stopPod(first);
    expect(await cri.findNetns('shop/again')).toBeUndefined();
    const second = await containerd.runPod('shop/again', { uid: 'u-2' });
    const after = await cri.findNetns('shop/again');
    expect(before).toBeDefined();
    expect(after).toBeDefined();
    expect(after).not.toBe(before);
    await containerd.stopPod(second);
  });

  test('nobody at the socket is an error that says so, and the same client recovers', async () => {
    await using cri = createCri({ endpoint: '/tmp/krscri-nobody.sock', timeoutMs: 500 });
    await expect(cri.findNetns('shop/web-1')).rejects.toMatchObject({ code: 'RUNTIME_UNREACHABLE', retryable: true });
    expect(() => createCri({ endpoint: 'tcp://1.2.3.4:5' })).toThrow('no');
  });

  test('what answers without speaking gRPC is an error within the time limit', async () => {
    const path = '/tmp/krscri-junk.sock';
    await rm(path, { force: true });
    const server = createServer((socket) => socket.on('error', () => undefined).end('HTTP/1.0 400 no\r\n\r\n'));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      await using cri = createCri({ endpoint: path, timeoutMs: 1000 });
      await expect(cri.findNetns('shop/web-1')).rejects.toMatchObject({ code: 'RUNTIME_UNREACHABLE' });
    } finally {
      server.close();
    }
  });
});
