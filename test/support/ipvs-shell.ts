/**
 * Helpers for programs that run inside the guest kernel: a runner over one kept-open shell (a fork of Node costs tens of
 * milliseconds there, a fork of sh does not), the text of the kernel's state, and one pass of a target.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { SdkError } from '../../src/net/errors.ts';
import type { Runner } from '../../src/kernel/types.ts';
import { render } from '../../src/ipvs/index.ts';
import type { IpvsState, IpvsTarget } from '../../src/ipvs/index.ts';

const FOLDER = `/run/krs-shell-${process.pid}`;
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** A shell that runs one command after the other. */
export function openShell(): {
  run(script: string, input?: string): Promise<{ code: number; stdout: string; stderr: string }>;
  close(): void;
} {
  mkdirSync(FOLDER, { recursive: true });
  const child = spawn('/bin/sh', [], { stdio: ['pipe', 'pipe', 'inherit'] });
  let serial = 0;
  let text = '';
  const waiting = new Map<number, (code: number) => void>();
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8');
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const [, id, code] = text.slice(0, end).split(' ');
      text = text.slice(end + 1);
      waiting.get(Number(id))?.(Number(code));
      waiting.delete(Number(id));
    }
  });
  return {
    async run(script, input) {
      const id = ++serial;
      const base = `${FOLDER}/${id}`;
      if (input !== undefined) writeFileSync(`${base}.in`, input);
      const from = input === undefined ? '/dev/null' : `${base}.in`;
      const code = await new Promise<number>((resolve) => {
        waiting.set(id, resolve);
        child.stdin.write(`( ${script}\n) <${from} >${base}.out 2>${base}.err; echo done ${id} $?\n`);
      });
      return { code, stdout: readFileSync(`${base}.out`, 'utf8'), stderr: readFileSync(`${base}.err`, 'utf8') };
    },
    close() {
      child.stdin.end();
    },
  };
}

const shell = openShell();

/** Runs shell text and gives its output; throws with stderr when it fails. */
export async function sh(script: string): Promise<string> {
  const { code, stdout, stderr } = await shell.run(`set -eu\n${script}`);
  if (code !== 0) throw new Error(`exit ${code} of: ${script}\n${stdout}${stderr}`);
  return stdout;
}

/** Commands that a {@link shellRunner} ran, in order. */
export const commands: string[] = [];

/** A runner over the kept-open shell, with the errors of the real one. `before` may throw to end the program at a command. */
export function shellRunner(before: (command: string) => void = () => undefined): Runner {
  return {
    async run({ file, args, input, netns, okExitCodes }) {
      const line = [file, ...args].join(' ');
      before(line);
      commands.push(line);
      const started = performance.now();
      const inside = netns === undefined ? [] : ['nsenter', `--net=${netns}`];
      const words = [...inside, file, ...args].map(quote).join(' ');
      const { code, stdout, stderr } = await shell.run(`LC_ALL=C exec ${words}`, input);
      if (code !== 0 && okExitCodes?.includes(code) !== true) {
        throw new SdkError(`${line} exited with ${code}: ${stderr}`, { code: 'COMMAND_FAILED', details: { stderr } });
      }
      return { exitCode: code, stdout, stderr, durationMs: performance.now() - started };
    },
  };
}

const PARTS = {
  ipvs: 'ipvsadm -Sn',
  order: `ipvsadm -Ln --nosort | grep -v '^IP Virtual\\|^Prot\\|RemoteAddress' | awk '{$5="";$6="";print}' | sed 's/ *$//'`,
  addresses: `ip -o addr show | awk '{print $2, $4}' | grep -v fe80 | sort`,
  local: `ip route show table local | grep -v broadcast | sed 's/ *$//' | sort
ip -6 route show table local | grep -v 'fe80\\|multicast' | sort`,
  iptables: `for t in filter nat mangle; do iptables-save -t $t; done | grep -v '^#' | sed 's/ \\[.*//'`,
  ip6tables: `for t in filter nat mangle; do ip6tables-save -t $t; done | grep -v '^#' | sed 's/ \\[.*//'`,
  ipset: `ipset save | sed 's/ initval 0x[0-9a-f]*//' | sort`,
  rules:
    'ip rule show; ip -6 rule show; ip route show table 78 2>/dev/null || true; ip -6 route show table 78 2>/dev/null || true',
  sysctl: `sysctl net.ipv4.vs | grep -v 'sync_\\|memthresh\\|am_droprate'
sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce`,
} as const;

/** Everything that a service proxy could change, as text that compares. */
export async function kernelText(): Promise<Record<string, string>> {
  const text: Record<string, string> = {};
  for (const [name, script] of Object.entries(PARTS)) text[name] = (await shell.run(script)).stdout;
  return text;
}

/** One pass: observe on demand, plan, apply. Gives the number of steps, the failures by name and the commands as text. */
export async function pass(
  target: IpvsTarget,
  state: IpvsState,
  memory: { observed?: Awaited<ReturnType<IpvsTarget['observe']>> },
  dirty?: ReadonlySet<string>,
): Promise<{ steps: number; failures: string[]; text: string }> {
  const { signal } = new AbortController();
  const observed = memory.observed ?? (await target.observe(signal));
  const steps = target.plan(state, observed, { prune: true, ...(dirty === undefined ? {} : { dirty }) });
  const applied = await target.apply(steps, signal);
  if (applied.observed === undefined) delete memory.observed;
  else memory.observed = applied.observed;
  return {
    steps: target.size(steps),
    text: render(steps),
    failures: applied.failures.map(({ item, error }) => `${item}: ${error.message}`),
  };
}

/** Leaves a result for the test outside. */
export function answer(value: unknown): void {
  writeFileSync(`${process.env.UML_DIR ?? '.'}/out/answer.json`, JSON.stringify(value, null, 1));
}
