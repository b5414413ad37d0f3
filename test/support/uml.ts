/**
 * User-mode Linux for tests: boots Debian's `linux.uml` with the machine's file system as its root, runs one script in it as
 * root and powers it off. It exists because IPVS, dummy and tunnel links are modules that few test machines load, and because it
 * needs no privilege: an ordinary user is root inside. Every boot has its own folder, so boots may run side by side.
 * Nothing outside that folder is written: whatever tools write to (/run, /tmp, /var/lib, /etc/cni …) is a tmpfs inside.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What to boot and run. */
export interface UmlOptions {
  /** Shell script (`/bin/sh`), run as root in the guest with `set -eu`. One of `script` and `node` is given. */
  readonly script?: string;
  /** A JavaScript or TypeScript file for the machine's own Node, with arguments. */
  readonly node?: { readonly file: string; readonly args?: readonly string[] };
  /** Kernel modules to load before the script; others are loaded by the kernel when they are asked for. */
  readonly modules?: readonly string[];
  /** @defaultValue 512 */
  readonly memMb?: number;
  /** Milliseconds until the guest is killed, boot included. @defaultValue 120000 */
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Text of files by name, found in the guest under `$UML_DIR`. */
  readonly files?: Readonly<Record<string, string>>;
  /**
   * Joins the guest to a link of the machine, which needs root: its `vec0` is the far end of what is plugged into `link`, an interface
   * of the network namespace `netns`.
   */
  readonly plug?: { readonly netns: string; readonly link: string };
  /** Part of the name of its folder and process, for whoever looks at the machine. @defaultValue `guest` */
  readonly name?: string;
  /** Called with each piece of the guest's console while it runs. */
  readonly onConsole?: (text: string) => void;
}

/** How it ended. */
export interface UmlResult {
  /** Exit status of the script. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Kernel messages. */
  readonly console: string;
  /** Files that the script left in `$UML_DIR/out`. */
  readonly files: Readonly<Record<string, string>>;
  readonly durationMs: number;
}

const BINARY = '/usr/bin/linux.uml';
/** The checkout, which holds the programs that guests run. */
const PROJECT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const MODULES = '/usr/lib/uml/modules';
/** A word for the shell. */
export const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Part of a guest's init: whatever tools write to becomes memory, so that the machine's files stay as they are. */
export const HIDE_WRITTEN = String.raw`for d in /tmp /var/lib /var/log /var/tmp /etc/cni /etc/iproute2 /dev/shm; do
  [ -d "$d" ] || continue
  if [ "$d" = /etc/iproute2 ]; then mkdir -p /run/guest-iproute2; cp -a /etc/iproute2/. /run/guest-iproute2; mount --bind /run/guest-iproute2 "$d"
  else mount -t tmpfs -o mode=1777 tmpfs "$d"; fi
done
`;

/**
 * PID 1 of the guest. modprobe is pointed at a tree under /run by environment (for whoever calls it) and by
 * /proc/sys/kernel/modprobe (for the kernel), so that the machine needs no /lib/modules. iptables is the legacy one: this kernel
 * has no nftables for IP. An address on lo comes before any IPVS command: without a route, real servers are refused.
 */
const INIT = String.raw`#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/home LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/uml/host /run/uml/root/lib/modules /run/home /run/lock /run/netns
mount --bind "$UML_HOST_DIR" /run/uml/host
mkdir -p /run/uml/project
mount --bind "$UML_PROJECT" /run/uml/project
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
${HIDE_WRITTEN}# a checkout below one of these folders would be hidden by the tmpfs
[ -d "$UML_PROJECT" ] || { mkdir -p "$UML_PROJECT" && mount --bind /run/uml/project "$UML_PROJECT"; }
[ -c /dev/ptmx ] && [ -d /dev/pts ] && mount -t devpts devpts /dev/pts 2>/dev/null
[ -d /sys/fs/cgroup ] && mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
ln -s /usr/lib/uml/modules/$(uname -r) /run/uml/root/lib/modules/
export MODPROBE_OPTIONS='-d /run/uml/root'
printf '#!/bin/sh\nexec /sbin/modprobe -d /run/uml/root "$@"\n' > /run/uml/modprobe
chmod 755 /run/uml/modprobe
echo /run/uml/modprobe > /proc/sys/kernel/modprobe
mkdir /run/uml/alternatives
cp -a /etc/alternatives/. /run/uml/alternatives
for t in iptables ip6tables; do
  for s in '' -save -restore; do ln -sf /usr/sbin/$t-legacy$s /run/uml/alternatives/$t$s; done
done
mount --bind /run/uml/alternatives /etc/alternatives
hostname uml
ip link set lo up
ip addr add 127.0.0.1/8 dev lo 2>/dev/null
export UML_DIR=/run/uml/host
cd "$UML_DIR"
. ./env
modprobe dummy numdummies=0
modprobe -a $UML_MODULES
/bin/sh ./script >./stdout 2>./stderr </dev/null
echo $? > ./exit
sync
halt -f
`;

/** Whether this machine can boot it; the reason when not. */
export function umlMissing(): string | undefined {
  if (!existsSync(BINARY)) return `${BINARY} is missing: install the Debian package user-mode-linux`;
  if (!existsSync(MODULES)) return `${MODULES} is missing: install the Debian package user-mode-linux`;
  return undefined;
}

/** Boots a guest, runs the script to its end and powers off. @throws Error when the machine lacks the kernel or the guest did not get to an exit status */
export async function bootUml(options: UmlOptions): Promise<UmlResult> {
  const missing = umlMissing();
  if (missing !== undefined) throw new Error(missing);
  const started = performance.now();
  const dir = await mkdtemp(
    join(process.env.TMPDIR ?? tmpdir(), `krs-uml-${userInfo().username}-${options.name ?? 'guest'}-`),
  );
  try {
    const timeoutMs = options.timeoutMs ?? 120_000;
    const console = await boot(dir, options, timeoutMs);
    const read = (name: string): Promise<string> => readFile(join(dir, name), 'utf8').catch(() => '');
    const [exit, stdout, stderr] = await Promise.all([read('exit'), read('stdout'), read('stderr')]);
    if (exit === '') {
      const tail = (text: string): string => text.slice(-4000);
      throw new Error(
        `the guest ended without an exit status after ${Math.round(performance.now() - started)} ms (limit ${timeoutMs})\n` +
          `--- stdout\n${tail(stdout)}\n--- stderr\n${tail(stderr)}\n--- console\n${tail(console)}`,
      );
    }
    const files: Record<string, string> = {};
    for (const name of await readdir(join(dir, 'out'))) files[name] = await read(join('out', name));
    return { exitCode: Number(exit), stdout, stderr, console, files, durationMs: performance.now() - started };
  } finally {
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Like {@link bootUml}, and a script that fails is an error with all it said. */
export async function runInUml(options: UmlOptions): Promise<UmlResult> {
  const result = await bootUml(options);
  if (result.exitCode !== 0) {
    throw new Error(
      `the script in the guest ended with ${result.exitCode}\n--- stdout\n${result.stdout.slice(-8000)}\n` +
        `--- stderr\n${result.stderr.slice(-8000)}\n--- console\n${result.console.slice(-2000)}`,
    );
  }
  return result;
}

/** Where the guest's memory lives: a tmpfs that allows execution, else the boot's own folder. */
function memoryFolder(dir: string): string {
  const shm = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((line) => line.split(' ')[1] === '/dev/shm');
  if (process.env.TMPDIR !== undefined || shm === undefined || shm.split(' ')[3]?.split(',').includes('noexec'))
    return dir;
  try {
    accessSync('/dev/shm', constants.W_OK);
    return '/dev/shm';
  } catch {
    return dir;
  }
}

async function boot(dir: string, options: UmlOptions, timeoutMs: number): Promise<string> {
  const env = { UML_MODULES: ['ip_vs', ...(options.modules ?? [])].join(' '), ...options.env };
  const script =
    options.node === undefined
      ? `set -eu\n${options.script ?? ''}\n`
      : `exec ${[process.execPath, options.node.file, ...(options.node.args ?? [])].map(quote).join(' ')}\n`;
  const exports = Object.entries(env).map(([name, value]) => `export ${name}=${quote(value)}\n`);
  await Promise.all([
    writeFile(join(dir, 'init'), INIT),
    writeFile(join(dir, 'env'), exports.join('')),
    writeFile(join(dir, 'script'), script),
    ...Object.entries(options.files ?? {}).map(([name, text]) => writeFile(join(dir, name), text)),
  ]);
  await chmod(join(dir, 'init'), 0o755);
  await mkdir(join(dir, 'out'));
  // `timeout` is the parent so that the guest dies even when this process is killed; its process group holds every part of it.
  const { plug } = options;
  const args = ['-k', '2', String(timeoutMs / 1000)];
  if (plug !== undefined) args.push('ip', 'netns', 'exec', plug.netns);
  args.push(
    BINARY,
    `mem=${options.memMb ?? 512}M`,
    'rootfstype=hostfs',
    ...(plug === undefined ? [] : [`vec0:transport=raw,ifname=${plug.link},depth=128,gro=1`]),
    'rootflags=/',
    'rw',
    `init=${join(dir, 'init')}`,
    'con=null',
    'con0=null,fd:1',
    'quiet',
    `uml_dir=${dir}/`,
    'umid=guest',
  );
  // The kernel would mount /dev over a boot folder in /dev/shm before init could reach it.
  args.push('devtmpfs.mount=0', `UML_HOST_DIR=${dir}`, `UML_PROJECT=${PROJECT}`);
  const child = spawn('/usr/bin/timeout', args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', TMPDIR: memoryFolder(dir), HOME: dir },
    detached: true,
  });
  let text = '';
  const take = (chunk: Buffer): void => {
    text += chunk.toString('utf8');
    options.onConsole?.(chunk.toString('utf8'));
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  const killGroup = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // already gone
    }
  };
  const guard = setTimeout(killGroup, timeoutMs + 4000);
  process.once('exit', killGroup);
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => {
        resolve();
      });
    });
  } finally {
    clearTimeout(guard);
    process.off('exit', killGroup);
    killGroup();
  }
  return text;
}
