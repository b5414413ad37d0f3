import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { TABLE } from '../support/ipvs-table.ts';
import { runInUml } from '../support/uml.ts';

const PARTS = 3;

describe.each(Array.from({ length: PARTS }, (_, part) => part))('the rules in a kernel, part %i', (part) => {
  let answer: { failures: string[]; text: string; again: number }[];
  beforeAll(async () => {
    const file = fileURLToPath(new URL('guests/ipvs-table.ts', import.meta.url));
    const env = { PART: `${part}/${PARTS}` };
    const result = await runInUml({ name: `table${part}`, node: { file }, env, memMb: 1024, timeoutMs: 560_000 });
    answer = JSON.parse(result.files['answer.json'] ?? '') as typeof answer;
  }, 580_000);
  const mine = TABLE.filter((_, index) => index % PARTS === part);
  test.each(mine.map(({ name, expected }, index) => ({ name, expected, index })))('$name', ({ expected, index }) => {
    expect(answer[index]).toEqual({ failures: [], text: expected, again: 0 });
  });
});
