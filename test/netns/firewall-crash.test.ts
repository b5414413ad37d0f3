/**
 * `kill -9` in the midst of every command of an apply, on the machine's kernel: what is denied before and after stays denied, what
 * is allowed before and after passes, and the next start brings the new state whole.
 */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLab } from '../support/firewall/lab.ts';
import type { Lab } from '../support/firewall/lab.ts';

let lab: Lab;
const A = ['10.1.0.1', 'fd00:1::1'];
const B = ['10.1.0.2', 'fd00:1::2'];
const C = ['10.1.0.3', 'fd00:1::3'];
const OUT = ['192.0.2.9', '2001:db8::9'];

beforeAll(async () => {
  lab = await createLab({ a: { ips: A }, b: { ips: B }, c: { ips: C }, out: { ips: OUT } });
}, 60_000);
afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
}, 30_000);

/** `to:port` of the probes, by whether the two states agree; written from the policies of crash-states.ts by hand. */
const DENIED = ['b>a:81', 'out>a:80', 'out>a:81', 'c>a:81', 'b>out:80', 'out>c:80', 'b>c:81', 'a>c:80'];
const ALLOWED = ['b>a:80', 'c>a:80', 'a>out:80'];
/** Allowed before alone. */
const BEFORE = ['b>c:80', 'c>out:80', 'out>b:80'];

async function passing(questions: readonly string[]): Promise<string[]> {
  const hosts: Record<string, readonly string[]> = { a: A, b: B, c: C, out: OUT };
  const answers = await Promise.all(
    questions.flatMap((question) => {
      const [from = '', to = '', port = ''] = question.split(/[>:]/);
      return [0, 1].map(async (family) => {
        const outcome = await lab.probe(from, 'tcp', hosts[to]![family]!, Number(port));
        return outcome === 'passed' ? [`${question} IPv${family === 0 ? 4 : 6}`] : [];
      });
    }),
  );
  return answers.flat();
}

const both = (questions: readonly string[]): string[] => questions.flatMap((one) => [`${one} IPv4`, `${one} IPv6`]);

function bring(how: readonly [string, string], state: string, ...death: string[]): NodeJS.Signals | number | null {
  const program = new URL('../support/firewall/crash-apply.ts', import.meta.url).pathname;
  const { signal, status, stderr } = spawnSync(process.execPath, [program, lab.netns, ...how, state, ...death], {
    encoding: 'utf8',
  });
  if (signal === null && status !== 0) throw new Error(stderr);
  return signal ?? status;
}

test.each([
  ['iptables', 'legacy'],
  ['iptables', 'nft'],
  ['nftables', 'nft'],
] as const)(
  '%s %s: killed at every command',
  async (...how) => {
    let killed = 0;
    for (const death of ['before', 'half']) {
      for (let at = 0; ; at++) {
        expect(bring(how, 'before')).toBe(0);
        expect(await passing([...ALLOWED, ...BEFORE])).toEqual(both([...ALLOWED, ...BEFORE]));
        const end = bring(how, 'after', String(at), death);
        if (end === 'SIGKILL') killed++;
        expect(await passing(DENIED), `${death} command ${at}`).toEqual([]);
        expect(await passing(ALLOWED), `${death} command ${at}`).toEqual(both(ALLOWED));
        if (end !== 'SIGKILL') break;
        expect(bring(how, 'after')).toBe(0);
        expect(await passing([...DENIED, ...ALLOWED, ...BEFORE])).toEqual(both(ALLOWED));
      }
    }
    expect(killed).toBeGreaterThanOrEqual(how[0] === 'nftables' ? 2 : 6);
  },
  600_000,
);
