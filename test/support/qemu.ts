/**
 * QEMU with Debian's stock kernel for tests: what user-mode Linux lacks (FoU links, WireGuard, nftables) runs here, slower, by emulation.
 * Takes and gives the same as `bootUml`. The machine's file system is the guest's root over virtio-9p, read only; the boot's own
 * folder is a second share. A small initramfs of busybox and three modules gets there. Needs root, so that every file can be read.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { UmlOptions, UmlResult } from './uml.ts';
import { HIDE_WRITTEN, quote } from './uml.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** PID 1 of the guest's initramfs: modules, the two shares, and over to the machine's file system. */
const FIRST = String.raw`#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do /bin/busybox insmod "$module"; done
o=trans=virtio,version=9p2000.L,msize=1048576
/bin/busybox mount -t 9p -o $o,cache=loose,ro root /root || exec /bin/busybox poweroff -f
exec /bin/busybox switch_root /root /bin/sh -c 'mount -t tmpfs -o mode=755 tmpfs /run; mkdir -p /run/guest/host; mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576,access=any boot /run/guest/host; exec /bin/sh /run/guest/host/init'
`;

/** What then runs as PID 1. */
const INIT = String.raw`export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/home LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /run/home /run/lock /run/netns /run/guest/project /run/guest/kernel
mount --bind "$GUEST_PROJECT" /run/guest/project
mount --bind "$GUEST_KERNEL" /run/guest/kernel
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
${HIDE_WRITTEN}[ -d "$GUEST_PROJECT" ] || { mkdir -p "$GUEST_PROJECT" && mount --bind /run/guest/project "$GUEST_PROJECT"; }
mount -t devpts devpts /dev/pts
export MODPROBE_OPTIONS='-d /run/guest/kernel'
printf '#!/bin/sh\nexec /sbin/modprobe -d /run/guest/kernel "$@"\n' > /run/guest/modprobe
chmod 755 /run/guest/modprobe
echo /run/guest/modprobe > /proc/sys/kernel/modprobe
hostname guest
ip link set lo up
export UML_DIR=/run/guest/host
cd "$UML_DIR"
. ./env
[ -z "$UML_MODULES" ] || modprobe -a $UML_MODULES
/bin/sh ./script >./stdout 2>./stderr </dev/null
echo $? > ./exit
sync
exec busybox poweroff -f
`;

/** Whether this machine can boot it; the reason when not. */
export function qemuMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'the guest needs root, to share every file of the machine';
  for (const [path, name] of [
    ['/usr/bin/qemu-system-x86_64', 'qemu-system-x86'],
    ['/bin/busybox', 'busybox-static'],
    ['/usr/bin/cpio', 'cpio'],
  ] as const) {
    if (!existsSync(path)) return `${path} is missing: install the Debian package ${name}`;
  }
  return undefined;
}

/** Debian's kernel, unpacked, and its release. */
function stockKernel(): { readonly folder: string; readonly release: string } {
  const script = join(PROJECT, 'scripts/guest-kernel.sh');
  const folder = execFileSync(script, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
  return { folder, release: basename(folder).replace('linux-image-', '') };
}

/** Makes the initramfs in the boot's folder. */
async function initramfs(dir: string, folder: string, release: string): Promise<string> {
  const tree = join(dir, 'initramfs');
  for (const name of ['bin', 'proc', 'dev', 'root', 'modules']) await mkdir(join(tree, name), { recursive: true });
  await writeFile(join(tree, 'init'), FIRST);
  await chmod(join(tree, 'init'), 0o755);
  const files = ['virtio_pci', '9pnet_virtio', '9p'].flatMap((module) =>
    execFileSync('modprobe', ['-d', folder, '-S', release, '--show-depends', module], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.startsWith('insmod '))
      .map((line) => line.slice('insmod '.length).trim()),
  );
  const copies = [...new Set(files)].map((file, index) =>
    ['cp', file, join(tree, 'modules', `${String(index).padStart(2, '0')}-${basename(file)}`)].map(quote).join(' '),
  );
  const image = join(dir, 'initramfs.cpio');
  const pack = `cp /bin/busybox ${quote(tree)}/bin/\n${copies.join('\n')}\ncd ${quote(tree)}\nfind . | cpio -o -H newc --quiet > ${quote(image)}`;
  execFileSync('/bin/sh', ['-ec', pack]);
  return image;
}

/** Boots the guest, runs the script or program to its end, and powers off. @throws Error when it failed, with all it said */
export async function runInQemu(options: UmlOptions & { readonly cpus?: number }): Promise<UmlResult> {
  const missing = qemuMissing();
  if (missing !== undefined) throw new Error(missing);
  const started = performance.now();
  const { folder, release } = stockKernel();
  const dir = await mkdtemp(join(tmpdir(), `krs-qemu-${options.name ?? 'guest'}-`));
  try {
    const timeoutMs = options.timeoutMs ?? 300_000;
    const image = await initramfs(dir, folder, release);
    const boot = join(dir, 'boot');
    await mkdir(join(boot, 'out'), { recursive: true });
    const env = { UML_MODULES: (options.modules ?? []).join(' '), ...options.env };
    // Emulated, V8 lost count of its pages of code once in some dozens of runs and aborted (`code-memory-access.cc`): no threads that
    // compile beside the program, and below no protection keys, which no other rig has.
    const command =
      options.node === undefined
        ? `set -eu\n${options.script ?? ''}\n`
        : `exec ${[process.execPath, '--single-threaded', options.node.file, ...(options.node.args ?? [])].map(quote).join(' ')}\n`;
    await writeFile(join(boot, 'init'), INIT);
    await writeFile(join(boot, 'script'), command);
    await writeFile(
      join(boot, 'env'),
      Object.entries(env)
        .map(([name, value]) => `export ${name}=${quote(value)}\n`)
        .join(''),
    );
    for (const [name, text] of Object.entries(options.files ?? {})) await writeFile(join(boot, name), text);
    const share = (tag: string, path: string, more: string): string[] => [
      '-virtfs',
      `local,path=${path},mount_tag=${tag},security_model=none,multidevs=remap${more}`,
    ];
    const cmdline = `console=ttyS0 quiet panic=-1 devtmpfs.mount=0 GUEST_PROJECT=${PROJECT} GUEST_KERNEL=${folder}`;
    const args = ['-accel', 'tcg,thread=multi', '-cpu', 'max,pku=off', '-smp', String(options.cpus ?? 2)];
    args.push('-m', `${options.memMb ?? 2048}M`, '-nographic', '-nic', 'none', '-no-reboot');
    args.push('-kernel', join(folder, 'boot', `vmlinuz-${release}`), '-initrd', image, '-append', cmdline);
    args.push(...share('root', '/', ',readonly=on'), ...share('boot', boot, ''));
    // `timeout` is the parent so that the guest dies even when this process is killed.
    const child = spawn(
      '/usr/bin/timeout',
      ['-k', '2', String(timeoutMs / 1000), '/usr/bin/qemu-system-x86_64', ...args],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      },
    );
    let console = '';
    const take = (chunk: Buffer): void => {
      console += chunk.toString('utf8');
      options.onConsole?.(chunk.toString('utf8'));
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    const kill = (): void => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    };
    process.once('exit', kill);
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => resolve());
    });
    process.off('exit', kill);
    const read = (name: string): Promise<string> => readFile(join(boot, name), 'utf8').catch(() => '');
    const [exit, stdout, stderr] = await Promise.all([read('exit'), read('stdout'), read('stderr')]);
    if (exit.trim() !== '0') {
      const how = exit === '' ? `without an exit status (limit ${timeoutMs} ms)` : `with ${exit.trim()}`;
      const tail = (text: string): string => text.slice(-6000);
      throw new Error(
        `the guest ended ${how}\n--- stdout\n${tail(stdout)}\n--- stderr\n${tail(stderr)}\n--- console\n${tail(console)}`,
      );
    }
    const files: Record<string, string> = {};
    for (const name of await readdir(join(boot, 'out'))) files[name] = await read(join('out', name));
    return { exitCode: 0, stdout, stderr, console, files, durationMs: performance.now() - started };
  } finally {
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}
