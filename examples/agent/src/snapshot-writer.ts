/**
 * Keeps the snapshot on disk current: at most twice a minute, only of objects that are in touch and have changed.
 */
import type { ObjectKind, ObjectSource } from 'kube-router-sdk/informers';
import type { Log } from './log.ts';
import { writeSnapshot } from './snapshot-file.ts';

const PERIOD_MS = 30_000;

/** Starts writing; returns what writes a last time and ends. */
export function keepSnapshot(
  path: string,
  objects: ObjectSource,
  kinds: readonly ObjectKind[],
  log: Log,
  periodMs: number = PERIOD_MS,
): () => void {
  let written = '';
  let failing = false;
  const write = (): void => {
    const snapshots = kinds.map((kind) => [kind, objects.open(kind).snapshot()] as const);
    if (snapshots.some(([, { synced, staleSince }]) => !synced || staleSince !== undefined)) return;
    const revisions = snapshots.map(([, { revision }]) => revision).join();
    if (revisions === written) return;
    try {
      const saved = { savedAt: Date.now(), kinds: new Map(snapshots.map(([kind, { items }]) => [kind, items])) };
      const bytes = writeSnapshot(path, saved);
      if (bytes === undefined) log.warn({ path }, 'the snapshot would be too large; the one on disk stays');
      else log.debug({ path, bytes }, 'snapshot written');
      written = revisions;
      failing = false;
    } catch (error) {
      if (!failing) log.warn({ path, error: (error as Error).message }, 'the snapshot cannot be written');
      failing = true;
    }
  };
  const timer = setInterval(write, periodMs);
  timer.unref();
  return () => {
    clearInterval(timer);
    write();
  };
}
