/**
 * Keeps the node's CNI configuration file right, under `reconcile()`: a kubelet or a crash never sees half a file,
 * since the new text is written beside the old one and takes its place by rename.
 */
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SdkError } from '../../net/errors.ts';
import type { BlockOwnership } from '../../kernel/ownership.ts';
import type { Target } from '../../kernel/types.ts';
import type { CniState } from './edit.ts';
import { editCni, newCni } from './edit.ts';

/** Options of {@link createCniTarget}. */
export interface CniTargetOptions {
  /** @defaultValue '/etc/cni/net.d/10-kuberouter.conf' */
  readonly path?: string;
  /** Make a configuration where there is none; a failure otherwise. @defaultValue false */
  readonly create?: boolean;
  /** Where the text before is remembered; a block of its own. Absent: nowhere. */
  readonly ownership?: BlockOwnership;
}

/** What is on disk; `text` is undefined while there is no file. */
export interface CniObserved {
  readonly text: string | undefined;
}

/** The text to be written; undefined: nothing to do. */
export interface CniPlan {
  readonly text: string | undefined;
  readonly before: string | undefined;
  /** Why the file cannot be made right. */
  readonly error?: Error;
}

/** kube-router's default place. */
export const CNI_PATH = '/etc/cni/net.d/10-kuberouter.conf';

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw cause;
  }
}

/** Replaces a file in one step, keeping its mode; after a crash at any point the old or the new text is there, whole. */
export async function replaceFile(path: string, text: string): Promise<void> {
  // Container runtimes read *.conf, *.conflist and *.json only: the name beside is none of these.
  const next = join(dirname(path), `.${basename(path)}.kube-router-sdk`);
  const mode = await stat(path).then(
    (found) => found.mode & 0o777,
    () => 0o644,
  );
  await rm(next, { force: true });
  const file = await open(next, 'wx', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(next, path);
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Makes the target of the CNI configuration file. */
export function createCniTarget(options: CniTargetOptions = {}): Target<CniState, CniObserved, CniPlan> {
  const path = options.path ?? CNI_PATH;
  return {
    name: 'cni',
    observe: async () => ({ text: await readIfThere(path) }),
    plan(desired, observed) {
      const before = observed.text;
      if (before === undefined && options.create !== true) {
        const error = new SdkError(`there is no ${path}`, {
          code: 'INVALID_OBJECT',
          retryable: true,
          details: { path },
        });
        return { text: undefined, before, error };
      }
      try {
        const text = before === undefined ? newCni(desired) : editCni(before, desired);
        return { text: text === before ? undefined : text, before };
      } catch (cause) {
        return { text: undefined, before, error: cause instanceof Error ? cause : new Error(String(cause)) };
      }
    },
    size: (wanted) => (wanted.text === undefined && wanted.error === undefined ? 0 : 1),
    async apply(wanted) {
      if (wanted.error !== undefined) return { failures: [{ item: path, error: wanted.error }] };
      if (wanted.text === undefined) return { observed: { text: wanted.before }, failures: [] };
      await options.ownership?.remember(path, wanted.before ?? null, wanted.text);
      await replaceFile(path, wanted.text);
      return { observed: { text: wanted.text }, failures: [] };
    },
  };
}

/** What became of the file in {@link restoreCni}. */
export interface CniRestored {
  readonly path: string;
  readonly outcome: 'restored' | 'removed' | 'changed by someone else' | 'gone';
}

/** Gives back the text that the file had before our first change, where it still is the one that we wrote. */
export async function restoreCni(options: {
  readonly ownership: BlockOwnership;
  readonly dryRun?: boolean;
}): Promise<readonly CniRestored[]> {
  const results: CniRestored[] = [];
  for (const [path, { before, ours }] of options.ownership.values) {
    const now = await readIfThere(path);
    const outcome =
      now === undefined ? 'gone' : now !== ours ? 'changed by someone else' : before === null ? 'removed' : 'restored';
    if (options.dryRun !== true) {
      if (outcome === 'restored' && before !== null) await replaceFile(path, before);
      if (outcome === 'removed') await rm(path, { force: true });
      await options.ownership.forget(path);
    }
    results.push({ path, outcome });
  }
  return results;
}
