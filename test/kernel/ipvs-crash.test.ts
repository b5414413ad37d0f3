import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { runInUml } from '../support/uml.ts';

interface Answer {
  steps: string[];
  kills: number;
  change: { steps: string[]; reference: string; kills: number };
  differences: string[];
  third: string[];
  swept: string;
  reference: string;
}
let answer: Answer;

beforeAll(async () => {
  const file = fileURLToPath(new URL('guests/ipvs-crash.ts', import.meta.url));
  const result = await runInUml({ name: 'crash', node: { file }, memMb: 1024, timeoutMs: 560_000 });
  answer = JSON.parse(result.files['answer.json'] ?? '') as Answer;
}, 580_000);

describe('an agent that dies', () => {
  test('before or in the middle of any command of an apply: the next one converges, and cleanup is exact, byte for byte', () => {
    console.log(`killed ${answer.kills} times in ${answer.steps.length} commands of a start`);
    console.log(`killed ${answer.change.kills} times in ${answer.change.steps.length} commands of a change`);
    expect(answer.steps.length).toBeGreaterThan(8);
    expect(answer.kills).toBeGreaterThan(answer.steps.length);
    expect(answer.differences).toEqual([]);
  });
  test('so in the middle of a change: drains and the order of mh come out the same', () => {
    expect(answer.change.kills).toBeGreaterThanOrEqual(3);
    expect(answer.change.reference).toMatch(
      /10\.1\.2\.40:80[^]*10\.1\.2\.30:80 +Masq +0 [^]*10\.1\.2\.20:80[^]*10\.1\.2\.10:80/,
    );
  });
  test('leftovers of two other agents are swept', () => {
    expect(answer.third).toEqual([]);
    expect(answer.swept).toBe(answer.reference);
  });
});
