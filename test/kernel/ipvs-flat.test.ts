import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { runInUml } from '../support/uml.ts';

test('latency to the k-th Service is flat from 10 to 10,000 Services (T12)', async () => {
  const file = fileURLToPath(new URL('guests/ipvs-flat.ts', import.meta.url));
  const result = await runInUml({ name: 'flat', node: { file }, memMb: 2048, timeoutMs: 560_000 });
  const { failures, few, many, listed, loadMs } = JSON.parse(result.files['answer.json'] ?? '') as {
    failures: string[];
    few: Record<string, number>;
    many: Record<string, number>;
    listed: number;
    loadMs: number;
  };
  console.log(
    `10 Services, µs to the k-th: ${JSON.stringify(few)}; 10,000: ${JSON.stringify(many)}; loaded in ${loadMs} ms`,
  );
  expect(failures).toEqual([]);
  expect(listed).toBe(10_000);
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const before = mean(Object.values(few));
  // A list of rules would make the last one a thousand times dearer; a hash may differ by what a cache miss costs.
  for (const [number, value] of Object.entries(many)) expect(value / before, `Service ${number}`).toBeLessThan(1.5);
}, 600_000);
