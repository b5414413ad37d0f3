/**
 * Loads kernel modules, and tells which are to be had: built in, loaded, or loadable.
 * In a container /lib/modules is the host's only where it is mounted, so a module that cannot be found is a fact to report, not a crash.
 */
import { isSdkError } from '../net/errors.ts';
import type { CallOptions } from './ipset/driver.ts';
import type { Runner } from './types.ts';

/** Loads modules; returns those that could not be loaded, with the reason. A module built into the kernel counts as loaded. */
export async function loadModules(
  runner: Runner,
  names: readonly string[],
  options: CallOptions = {},
): Promise<ReadonlyMap<string, Error>> {
  const failed = new Map<string, Error>();
  for (const name of names) {
    try {
      await runner.run({ file: 'modprobe', args: ['--', name] }, options);
    } catch (error) {
      if (!isSdkError(error) || error.code === 'ABORTED') throw error;
      // A kernel without loadable modules may still have it: /sys/module lists what is built in and has parameters.
      const known = await runner.run({ file: 'test', args: ['-d', `/sys/module/${name}`], okExitCodes: [1] }, options);
      if (known.exitCode !== 0) failed.set(name, error);
    }
  }
  return failed;
}
