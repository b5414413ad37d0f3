import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { runInUml } from '../support/uml.ts';

interface Answer {
  failures: string[];
  early: string;
  late: string;
  inPod: string;
  answers: string[];
  survived: string[];
  servers: string;
  chosen: string[][];
  moving: string[];
  moved: string[];
  order: string[];
  counters: { kind: string; connections: number; sum: number }[];
  podAfter: string;
  ruleAfter: string;
}
let answer: Answer;

beforeAll(async () => {
  const file = fileURLToPath(new URL('guests/ipvs-dsr.ts', import.meta.url));
  const result = await runInUml({ name: 'dsr', node: { file }, memMb: 1024, timeoutMs: 560_000 });
  if (process.env.VERBOSE !== undefined) console.log(result.stdout);
  answer = JSON.parse(result.files['answer.json'] ?? '') as Answer;
}, 580_000);

describe('DSR and several directors', () => {
  test('everything is programmed', () => {
    expect(answer.failures).toEqual([]);
  });
  test('a local pod is prepared before it becomes a real server', () => {
    expect(answer.early).not.toContain('10.1.1.2:0');
    expect(answer.early).toContain('10.1.2.2:0');
    expect(answer.late).toContain('10.1.1.2:0');
    expect(answer.inPod).toMatch(/inet 198\.51\.100\.9\/32[^]*inet6 2001:db8:e::9\/128[^]*inet 198\.51\.100\.9\/32/);
  });
  test('both pods answer, over both families, and see the client', () => {
    expect(new Set(answer.answers)).toEqual(
      new Set(['pa 192.168.1.100', 'pb 192.168.1.100', 'pa fd10::100', 'pb fd10::100']),
    );
    expect(answer.answers).toHaveLength(200);
  });
  test('the counters of a DSR service have its name and every connection: 150 over IPv4, 50 over IPv6', () => {
    expect(answer.counters.filter(({ connections }) => connections > 0)).toEqual([
      { kind: 'vs/fwm/4', connections: 150, sum: 150 },
      { kind: 'vs/fwm/6', connections: 50, sum: 50 },
    ]);
  });
  test('a director dies: 200 of 200 connections go on through another, none is reset', () => {
    expect(answer.survived).toEqual(new Array(200).fill('ping'));
  });
  test('mh: one order on every director whatever the history', () => {
    const [one, two, three] = answer.servers
      .split('\n\n')
      .map((text) => [...text.matchAll(/-> (\S+)/g)].map((match) => match[1]));
    expect(one).toHaveLength(5);
    expect(two).toEqual(one);
    expect(three).toEqual(one);
  });
  test('mh and mh-port: 10,000 flows, each answered by the same pod through all three directors', () => {
    const [one = [], two, three] = answer.chosen;
    expect(one).toHaveLength(10_000);
    expect(two).toEqual(one);
    expect(three).toEqual(one);
    expect([...new Set(one)].sort()).toEqual(['10.1.1.50', '10.1.1.53', '10.1.1.56', '10.1.1.59', '10.1.1.62']);
  });
  test('a server that sorts first moves all others in the kernel and cuts no connection', () => {
    expect(answer.moving.filter((name) => /^10\.1\.1\.\d\d$/.test(name))).toHaveLength(20);
    expect(answer.order).toEqual(
      ['10.1.1.62', '10.1.1.59', '10.1.1.56', '10.1.1.53', '10.1.1.50', '10.1.1.40'].map((host) => `${host}:8080`),
    );
    expect(answer.moved).toEqual(new Array(20).fill('ping'));
  });
  test('teardown leaves neither tunnel nor rule', () => {
    expect(answer.podAfter.trim()).toBe('0');
    expect(answer.ruleAfter.trim()).toBe('0');
  });
});
