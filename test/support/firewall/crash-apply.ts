/**
 * Brings a node from whatever is there to one of two states and dies on the way, by its own SIGKILL: before its n-th command that
 * writes, or just after that command was started, with half of its input written. Run by firewall-crash.test.ts.
 *   crash-apply.ts NETNS BACKEND FLAVOUR STATE [N before|half]
 */
import { spawn } from 'node:child_process';
import { compile, createFirewallTarget } from '../../../src/firewall/index.ts';
import { createRunner } from '../../../src/kernel/index.ts';
import type { Runner } from '../../../src/kernel/index.ts';
import { CRASH_STATES } from './crash-states.ts';

const [netns = '', backend, flavour, state = 'before', at = '-1', how = 'before'] = process.argv.slice(2);
const real = createRunner();
let left = Number(at);
const die = (): never => {
  process.kill(process.pid, 'SIGKILL');
  throw new Error('unreachable');
};
const runner: Runner = {
  async run(command, options) {
    if (command.input === undefined || left-- !== 0) return real.run(command, options);
    if (how === 'before') return die();
    const args = ['netns', 'exec', netns.split('/').at(-1)!, command.file, ...command.args];
    const child = spawn('ip', args, { stdio: ['pipe', 'ignore', 'ignore'] });
    const half = command.input.slice(0, command.input.lastIndexOf('\n', command.input.length / 2) + 1);
    await new Promise((resolve) => child.stdin.write(half, resolve));
    return die();
  },
};
const target = createFirewallTarget({
  runner,
  netns,
  ...(backend === 'nftables' ? { backend: 'nftables' } : { flavour: flavour as 'legacy' | 'nft' }),
});
const { signal } = new AbortController();
const { state: wanted } = compile({ node: 'n1', ...CRASH_STATES[state as keyof typeof CRASH_STATES] });
const plan = target.plan(wanted, await target.observe(signal), { prune: true });
const { failures } = await target.apply(plan, signal);
for (const { error } of failures) throw error;
const remaining = target.size(target.plan(wanted, await target.observe(signal), { prune: true }));
if (remaining > 0) throw new Error(`${remaining} changes remain`);
