/**
 * Keeps the snapshot on disk current: half a minute after the start, then at most every two minutes, only of objects that are in
 * touch and have changed. A large cluster takes some tenths of a second of work.
 */
import type { ObjectKind, ObjectSource } from 'kube-router-sdk/informers';
import { tidyUp } from './lean.ts';
import type { Log } from './log.ts';
import { writeSnapshot } from './snapshot-file.ts';

const PERIOD_MS = 30_000;
/** Periods between two writes. */
const PAUSE = 4;

/** Starts writing; returns what writes a last time and ends. */
export function keepSnapshot(
  path: string,
  objects: ObjectSource,
  kinds: readonly ObjectKind[],
  log: Log,
  periodMs: number = PERIOD_MS,
): () => Promise<void> {
  let written = '';
  let failing = false;
  let work: Promise<void> = Promise.resolve();
  const write = async (): Promise<void> => {
    const snapshots = kinds.map((kind) => [kind, objects.open(kind).snapshot()] as const);
    if (snapshots.some(([, { synced, staleSince }]) => !synced || staleSince !== undefined)) return;
    const revisions = snapshots.map(([, { revision }]) => revision).join();
    if (revisions === written) return;
    try {
      const saved = { savedAt: Date.now(), kinds: new Map(snapshots.map(([kind, { items }]) => [kind, items])) };
      const bytes = await writeSnapshot(path, saved);
      if (bytes === undefined) log.warn({ path }, 'the snapshot would be too large; the one on disk stays');
      else log.debug({ path, bytes }, 'snapshot written');
      written = revisions;
      failing = false;
    } catch (error) {
      if (!failing) log.warn({ path, error: (error as Error).message }, 'the snapshot cannot be written');
      failing = true;
    }
  };
  let pause = 0;
  const next = (): Promise<void> => (work = work.then(write));
  const timer = setInterval(() => {
    if (pause-- > 0) return;
    const before = written;
    void next().then(() => {
      if (written === before) return;
      pause = PAUSE - 1;
      // The first one made large texts, and an idle node collects them by itself only much later.
      if (before === '') tidyUp();
    });
  }, periodMs);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await next();
  };
}
