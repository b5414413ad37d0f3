/**
 * Debian's containerd with a root, a socket and an image of its own (busybox, packed here: nothing is pulled), for tests that ask
 * a real container runtime. Pods are sandboxes as the kubelet makes them, on a CNI network whose name is the caller's.
 */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, credentials } from '@grpc/grpc-js';
import { decodeMessage, encodeMessage, textField } from '../../src/ipvs/dsr/wire.ts';

const exec = promisify(execFile);
const IMAGE = 'localhost/krs-pause:1';

/** A running containerd. */
export interface Containerd {
  /** Its socket. */
  readonly socket: string;
  /** Makes a pod sandbox; resolves with its id. */
  runPod(pod: string, options?: { readonly hostNetwork?: boolean; readonly uid?: string }): Promise<string>;
  /** Stops a sandbox, as when its pod ends; it stays in the list as not ready. */
  stopPod(id: string): Promise<void>;
  close(): Promise<void>;
}

/** An OCI archive of one layer with busybox, whose one process sleeps. */
async function packImage(folder: string): Promise<string> {
  const rootfs = join(folder, 'rootfs');
  const blobs = join(folder, 'oci/blobs/sha256');
  await mkdir(join(rootfs, 'bin'), { recursive: true });
  await mkdir(blobs, { recursive: true });
  await exec('cp', ['/bin/busybox', join(rootfs, 'bin/busybox')]);
  await exec('tar', ['-C', rootfs, '-cf', join(folder, 'layer.tar'), '.']);
  const put = async (bytes: Buffer): Promise<{ digest: string; size: number }> => {
    const hash = createHash('sha256').update(bytes).digest('hex');
    await writeFile(join(blobs, hash), bytes);
    return { digest: `sha256:${hash}`, size: bytes.length };
  };
  const json = (value: object): Promise<{ digest: string; size: number }> => put(Buffer.from(JSON.stringify(value)));
  const layer = await put(await readFile(join(folder, 'layer.tar')));
  const config = await json({
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: { Entrypoint: ['/bin/busybox', 'sleep', '3600'] },
    rootfs: { type: 'layers', diff_ids: [layer.digest] },
  });
  const type = 'application/vnd.oci.image';
  const manifest = await json({
    schemaVersion: 2,
    mediaType: `${type}.manifest.v1+json`,
    config: { mediaType: `${type}.config.v1+json`, ...config },
    layers: [{ mediaType: `${type}.layer.v1.tar`, ...layer }],
  });
  const annotations = { 'io.containerd.image.name': IMAGE };
  const index = { schemaVersion: 2, manifests: [{ mediaType: `${type}.manifest.v1+json`, ...manifest, annotations }] };
  await writeFile(join(folder, 'oci/index.json'), JSON.stringify(index));
  await writeFile(join(folder, 'oci/oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await exec('tar', ['-C', join(folder, 'oci'), '-cf', join(folder, 'image.tar'), '.']);
  return join(folder, 'image.tar');
}

const config = (folder: string): string => `version = 2
root = "${folder}/root"
state = "${folder}/state"
[grpc]
  address = "${folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${folder}/cni"
`;

/** Starts it; `subnet` is the pods' network, as 10.222.0.0/24. */
export async function startContainerd(name: string, subnet: string): Promise<Containerd> {
  const folder = await mkdtemp(`/tmp/${name}-`);
  await mkdir(join(folder, 'cni'));
  const ipam = { type: 'host-local', ranges: [[{ subnet }]], dataDir: join(folder, 'ipam') };
  const network = { cniVersion: '1.0.0', name, plugins: [{ type: 'ptp', ipam }] };
  await writeFile(join(folder, 'cni/10.conflist'), JSON.stringify(network));
  await writeFile(join(folder, 'config.toml'), config(folder));
  const image = await packImage(folder);
  const socket = join(folder, 'containerd.sock');
  const daemon = spawn('/usr/bin/containerd', ['-c', join(folder, 'config.toml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  });
  let log = '';
  daemon.stderr.on('data', (chunk: Buffer) => (log += chunk.toString('utf8')));
  const ended = new Promise<void>((resolve) => daemon.once('exit', () => resolve()));
  for (let tries = 0; ; tries++) {
    try {
      await exec('ctr', ['-a', socket, '-n', 'k8s.io', 'images', 'import', image]);
      break;
    } catch (error) {
      if (tries < 50 && daemon.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 200));
      else throw new Error(`containerd does not start: ${String(error)}\n${log.slice(-2000)}`);
    }
  }
  const client = new Client(`unix://${socket}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
  });
  const ask = (method: string, request: Uint8Array): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const same = (bytes: Uint8Array): Buffer => Buffer.from(bytes);
      const deadline = Date.now() + 30_000;
      client.makeUnaryRequest(
        `/runtime.v1.RuntimeService/${method}`,
        same,
        same,
        request,
        { deadline },
        (error, answer) => (error === null ? resolve(answer ?? Buffer.alloc(0)) : reject(error)),
      );
    });
  const ids = new Set<string>();
  return {
    socket,
    async runPod(pod, options = {}) {
      const [namespace = '', podName = ''] = pod.split('/');
      const uid = options.uid ?? `uid-${podName}`;
      const label = (key: string, value: string): [number, Uint8Array] => [
        6,
        encodeMessage([
          [1, `io.kubernetes.pod.${key}`],
          [2, value],
        ]),
      ];
      const metadata = encodeMessage([
        [1, podName],
        [2, uid],
        [3, namespace],
      ]);
      // LinuxPodSandboxConfig.security_context.namespace_options.network; NODE is 2.
      const modes = encodeMessage([[1, options.hostNetwork === true ? 2 : 0]]);
      const linux = encodeMessage([[2, encodeMessage([[1, modes]])]]);
      const request = encodeMessage([
        [1, metadata],
        [3, folder],
        label('name', podName),
        label('namespace', namespace),
        label('uid', uid),
        [8, linux],
      ]);
      const id = textField(decodeMessage(await ask('RunPodSandbox', encodeMessage([[1, request]]))), 1);
      ids.add(id);
      return id;
    },
    async stopPod(id) {
      await ask('StopPodSandbox', encodeMessage([[1, id]]));
    },
    async close() {
      for (const id of ids) {
        await ask('StopPodSandbox', encodeMessage([[1, id]])).catch(() => undefined);
        await ask('RemovePodSandbox', encodeMessage([[1, id]])).catch(() => undefined);
      }
      client.close();
      daemon.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
