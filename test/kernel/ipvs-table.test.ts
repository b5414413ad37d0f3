import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { TABLE } from '../support/ipvs-table.ts';
import { runInUml } from '../support/uml.ts';

let answer: { failures: string[]; text: string; again: number }[];

beforeAll(async () => {
  const file = fileURLToPath(new URL('guests/ipvs-table.ts', import.meta.url));
  const result = await runInUml({ name: 'table', node: { file }, memMb: 1024, timeoutMs: 560_000 });
  answer = JSON.parse(result.files['answer.json'] ?? '') as typeof answer;
}, 580_000);

describe('each rule, in a kernel: virtual servers, addresses, sets', () => {
  test.each(TABLE.map(({ name, expected }, index) => ({ name, expected, index })))('$name', ({ expected, index }) => {
    expect(answer[index]).toEqual({ failures: [], text: expected, again: 0 });
  });
});
