import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { runInUml } from '../support/uml.ts';

interface Answer {
  failures: string[];
  holders: string[];
  loaded: string[];
  lived: Record<string, string[]>;
  ended: Record<string, string[]>;
  weights: string[];
  flap: string[];
  zero: string[];
  outlived: string;
  empty: string[];
  after: string;
  clients: string[];
  tracked: string[];
  left: string[];
  next: string[];
}
let answer: Answer;
const old = ['10.1.1.21', '10.1.1.22', '10.1.2.21', '10.1.2.22'];
const fresh = ['10.1.1.23', '10.1.1.24', '10.1.2.23', '10.1.2.24'];

beforeAll(async () => {
  const file = fileURLToPath(new URL('guests/ipvs-rolling.ts', import.meta.url));
  const result = await runInUml({ name: 'rolling', node: { file }, memMb: 1024, timeoutMs: 560_000 });
  if (process.env.VERBOSE !== undefined) console.log(result.stdout);
  answer = JSON.parse(result.files['answer.json'] ?? '') as Answer;
}, 580_000);

describe('a rolling update of four pods, 50 connections a second for 30 seconds', () => {
  test('no connection fails: 1,500 of 1,500', () => {
    expect(answer.failures).toEqual([]);
    expect(answer.loaded).toHaveLength(1500);
    const names = answer.loaded.map((text) => text.split(' ')[0] ?? '');
    expect(names.filter((name) => ![...old, ...fresh].includes(name))).toEqual([]);
    // At the end only the new pods answer.
    expect([...new Set(names.slice(-50))].sort()).toEqual(fresh);
  });
  test('a pod that ends is at weight 0', () => {
    expect(answer.weights).toEqual(old.map((address) => `-a -t 198.51.100.50:8080 -r ${address}:8080 -m -w 0`));
  });
  test('long-lived connections to a draining pod live until the pod closes them', () => {
    expect(answer.holders).toHaveLength(40);
    for (const address of old) {
      const count = answer.holders.filter((name) => name === address).length;
      expect(count).toBe(10);
      expect(answer.lived[address]).toEqual(new Array(count).fill('ping'));
      expect(answer.ended[address]).toEqual(new Array(count).fill('closed'));
    }
  });
});

describe('endpoints that come and go', () => {
  test('a drain is called off when the endpoint returns, and does not strike later', () => {
    expect(answer.flap).toEqual([
      '-a -t 198.51.100.50:8080 -r 10.1.2.24:8080 -m -w 0',
      '-a -t 198.51.100.50:8080 -r 10.1.2.24:8080 -m -w 1',
      'ping',
    ]);
  });
  test('scaled to nothing: refused at once from outside, node and pod, while the established connection goes on', () => {
    expect(answer.zero.filter((text) => !text.startsWith('n1'))).toEqual(['ext refused', 'pa refused']);
    // While a server drains the node's own packets meet IPVS first; its error reaches a connecting socket with the second SYN.
    expect(answer.zero[1]).toMatch(/^n1 refused/);
    expect(answer.outlived).toBe('ping');
  });
  test('when the last server went, so did the virtual server', () => {
    expect(answer.empty).toEqual(['']);
    expect(answer.after).toBe('refused');
  });
  test('UDP: conntrack entries of the removed server go, those of the other stay; its clients reach the other', () => {
    expect([...answer.clients].sort()).toEqual([
      '10.1.1.23',
      '10.1.1.23',
      '10.1.1.23',
      '10.1.2.23',
      '10.1.2.23',
      '10.1.2.23',
    ]);
    expect(answer.tracked).toHaveLength(6);
    expect(answer.left).toEqual(answer.tracked.filter((entry) => entry.endsWith('10.1.2.23')));
    expect(answer.left).toHaveLength(3);
    expect(answer.next).toEqual(new Array(6).fill('10.1.2.23'));
  });
});
