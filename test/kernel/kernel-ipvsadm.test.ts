/** The ipvsadm driver against a kernel that has IPVS. */
import { expect, it } from 'vitest';
import { runInUml } from '../support/uml.ts';

it('every form of service and server is written, read back, edited and taken away', async () => {
  const result = await runInUml({
    name: 'krk-ipvsadm',
    modules: ['ip_vs'],
    timeoutMs: 120_000,
    node: { file: new URL('./guests/kernel-ipvsadm.ts', import.meta.url).pathname },
  });
  expect(result.stdout).toContain('ipvsadm driver: all equal');
  expect(result.exitCode).toBe(0);
});
