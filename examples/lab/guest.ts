/**
 * Runs one command in a kernel of its own: user-mode Linux (Debian's package user-mode-linux), an ordinary process that sees the
 * machine's file system through an overlay, so that nothing it writes reaches the machine. Needs no privileges.
 */
import { spawn, type StdioOptions } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const kernel = '/usr/bin/linux.uml';
const init = fileURLToPath(new URL('guest-init.sh', import.meta.url));

/** What to run, and in how large a guest. */
export interface GuestOptions {
  /** Shell text, run in `cwd` as root of the guest. `/run/guest` in it is a folder of the host that outlives the guest. */
  readonly command: string;
  readonly cwd: string;
  /** @defaultValue 2048 */
  readonly memoryMb?: number;
  /** Milliseconds until the guest is ended by force. */
  readonly timeoutMs: number;
  /** `inherit`: the caller's terminal is the guest's console. `pipe`: output goes to `onOutput`. */
  readonly stdio: 'inherit' | 'pipe';
  readonly onOutput?: (text: string) => void;
}

/** How a guest ended. */
export interface GuestResult {
  /** Exit status of the command; undefined when the guest died or was ended before it finished. */
  readonly status: number | undefined;
  /** Whether it was ended because its time was over. */
  readonly timedOut: boolean;
}

/** The line after which a guest's output is the command's own. */
const marker = '--- guest is up ---';

/** Boots a guest, runs the command, powers off. */
export async function runGuest(options: GuestOptions): Promise<GuestResult> {
  if (!existsSync(kernel)) throw new Error(`${kernel} is missing: install Debian's package user-mode-linux`);
  const share = mkdtempSync(join(tmpdir(), 'kube-router-guest-'));
  const announce = options.stdio === 'pipe' ? `echo '${marker}'\n` : '';
  writeFileSync(join(share, 'command'), `${announce}${options.command}\n`);
  const umid = `kr-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  const stdio: StdioOptions = options.stdio === 'inherit' ? 'inherit' : ['ignore', 'pipe', 'pipe'];
  const child = spawn(
    'taskset',
    [
      ...['-c', String(await leastBusyProcessor()), kernel],
      `mem=${options.memoryMb ?? 2048}M`,
      ...[
        'rootfstype=hostfs',
        'rootflags=/',
        'rw',
        `init=${init}`,
        'con=null',
        'con0=fd:0,fd:1',
        'quiet',
        'loglevel=0',
      ],
      `umid=${umid}`,
      `GUEST_SHARE=${share}`,
      `GUEST_CWD=${options.cwd}`,
    ],
    // a group of its own: the kernel's helper processes end with it
    {
      stdio,
      detached: options.stdio === 'pipe',
      env: { ...process.env, TMPDIR: memoryFolder(options.memoryMb ?? 2048) },
    },
  );
  const endAll = (): void => {
    try {
      if (options.stdio === 'pipe' && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      else child.kill('SIGKILL');
    } catch {
      // it has ended by itself
    }
  };
  let timedOut = false;
  const timer = globalThis.setTimeout(() => {
    timedOut = true;
    endAll();
  }, options.timeoutMs);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, endAll);
  process.once('exit', endAll);
  try {
    let up = false;
    let early = '';
    const hear = (chunk: Buffer): void => {
      let text = chunk.toString().replaceAll('\r\n', '\n');
      if (!up) {
        early += text;
        const at = early.indexOf(`${marker}\n`);
        if (at === -1) return;
        up = true;
        text = early.slice(at + marker.length + 1);
      }
      options.onOutput?.(text);
    };
    child.stdout?.on('data', hear);
    child.stderr?.on('data', hear);
    await new Promise<void>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', () => {
        resolve();
      });
    });
    if (!up && options.stdio === 'pipe') options.onOutput?.(`the guest did not come up:\n${early}`);
    const statusFile = join(share, 'status');
    const status = existsSync(statusFile) ? Number(readFileSync(statusFile, 'utf8')) : undefined;
    return { status, timedOut };
  } finally {
    clearTimeout(timer);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, endAll);
    process.off('exit', endAll);
    rmSync(share, { recursive: true, force: true });
  }
}

/**
 * Where the guest's memory lies, as a file that is mapped: in /dev/shm where it has room and may be executed from (user-mode Linux maps
 * code from it), else in the folder for temporary files, whose disk then writes along.
 */
function memoryFolder(megabytes: number): string {
  const mount = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .find(([, folder]) => folder === '/dev/shm');
  if (process.env['TMPDIR'] !== undefined || mount === undefined || mount[3]?.split(',').includes('noexec'))
    return tmpdir();
  try {
    accessSync('/dev/shm', constants.W_OK);
    const { bavail, bsize } = statfsSync('/dev/shm');
    return bavail * bsize > megabytes * 1.1 * 2 ** 20 ? '/dev/shm' : tmpdir();
  } catch {
    return tmpdir();
  }
}

/**
 * The least busy of the processors that this process may use. User-mode Linux has one of its own and hands control to and fro between
 * its kernel and what runs in it at every system call and page fault; on one real processor that costs a quarter less than across two.
 * The scheduler cannot move a guest away from a neighbour once it is bound, hence the look at what runs before.
 */
async function leastBusyProcessor(): Promise<number> {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const allowed = list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
  const before = idleTicks();
  await setTimeout(500);
  const after = idleTicks();
  const idle = (processor: number): number => (after.get(processor) ?? 0) - (before.get(processor) ?? 0);
  const most = Math.max(...allowed.map(idle));
  const free = allowed.filter((processor) => idle(processor) === most);
  return free[Math.floor(Math.random() * free.length)] ?? 0;
}

/** For each processor, hundredths of a second that it had nothing to do since boot: `idle` and `iowait` of proc_stat(5). */
function idleTicks(): Map<number, number> {
  const lines = readFileSync('/proc/stat', 'utf8').matchAll(/^cpu(\d+) (.*)$/gm);
  return new Map(
    Array.from(lines, ([, processor, ticks = '']) => {
      const [, , , idle = 0, waiting = 0] = ticks.split(' ').map(Number);
      return [Number(processor), idle + waiting];
    }),
  );
}
