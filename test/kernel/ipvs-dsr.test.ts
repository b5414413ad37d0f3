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
  held: string;
  loaded: string[];
  longLived: string;
  rolled: string[];
  podAfter: string;
  ruleAfter: string;
}
let answer: Answer;

beforeAll(async () => {
  const file = fileURLToPath(new URL('guests/ipvs-dsr.ts', import.meta.url));
  const env = process.env.FLOWS === undefined ? {} : { env: { FLOWS: process.env.FLOWS } };
  const result = await runInUml({ name: 'dsr', node: { file }, memMb: 1024, timeoutMs: 290_000, ...env });
  if (process.env.VERBOSE !== undefined) console.log(result.stdout);
  answer = JSON.parse(result.files['answer.json'] ?? '') as Answer;
});

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
  test('a director dies: 200 of 200 connections go on through another', () => {
    expect(answer.survived).toEqual(new Array(200).fill('ping'));
  });
  test('mh: one order on every director whatever the history, hence one pod a flow', () => {
    const [one, two, three] = answer.servers
      .split('\n\n')
      .map((text) => [...text.matchAll(/-> (\S+)/g)].map((match) => match[1]));
    expect(one).toHaveLength(5);
    expect(two).toEqual(one);
    expect(three).toEqual(one);
    expect(answer.chosen[0]).toEqual(answer.chosen[1]);
    expect(new Set(answer.chosen[0]).size).toBe(5);
  });
  test('a rolling update under load fails no connection; a long-lived one stays with the pod that drains', () => {
    expect(answer.loaded.length).toBeGreaterThan(100);
    expect(answer.loaded.filter((text) => text !== 'pa 192.168.1.12' && text !== 'pb 192.168.1.100')).toEqual([]);
    expect(answer.rolled[1]).toContain('-r 10.1.1.2:8080 -m -w 0');
    expect(answer.rolled[3]).toContain('-r 10.1.1.2:8080 -m -w 1');
    expect(answer.longLived).toBe('ping');
  });
  test('teardown leaves neither tunnel nor rule', () => {
    expect(answer.podAfter.trim()).toBe('0');
    expect(answer.ruleAfter.trim()).toBe('0');
  });
});
