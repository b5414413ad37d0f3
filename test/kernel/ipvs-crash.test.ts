import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { runInUml } from '../support/uml.ts';

interface Answer {
  steps: string[];
  differences: string[];
  third: string[];
  swept: string;
  reference: string;
}
let answer: Answer;

beforeAll(async () => {
  const file = fileURLToPath(new URL('guests/ipvs-crash.ts', import.meta.url));
  const result = await runInUml({ name: 'crash', node: { file }, memMb: 1024, timeoutMs: 290_000 });
  answer = JSON.parse(result.files['answer.json'] ?? '') as Answer;
});

describe('an agent that dies', () => {
  test('before any command of an apply: the next one converges, and cleanup is still exact', () => {
    expect(answer.steps.length).toBeGreaterThan(8);
    expect(answer.differences).toEqual([]);
  });
  test('leftovers of two other agents are swept', () => {
    expect(answer.third).toEqual([]);
    expect(answer.swept).toBe(answer.reference);
  });
});
