/**
 * Back-pressure for streams of changes: while a consumer works on one batch, the next ones become one.
 * Merging by key keeps the first `previous` and the last `object`, so that the consumer sees the same difference in fewer steps.
 */
import type { Observable } from 'rxjs';
import type { Change, ChangeBatch } from './source.ts';

/** Two consecutive batches as one; a key that is back to what it was disappears. */
export function joinBatches<Item>(first: ChangeBatch<Item>, second: ChangeBatch<Item>): ChangeBatch<Item> {
  if (first.changed.length === 0) return second;
  const changed = new Map<string, Change<Item>>();
  for (const change of first.changed) changed.set(change.key, change);
  addChanges(changed, second.changed);
  return { ...second, changed: [...changed.values()] };
}

function addChanges<Item>(into: Map<string, Change<Item>>, changes: readonly Change<Item>[]): void {
  for (const { key, object, previous } of changes) {
    const earlier = into.get(key);
    const since = earlier === undefined ? previous : earlier.previous;
    if (earlier !== undefined && since === object) into.delete(key);
    else into.set(key, { key, object, previous: since });
  }
}

/** Reads a stream of batches as an async iterable that merges what arrives meanwhile. */
export async function* mergeBatches<Item>(
  changes$: Observable<ChangeBatch<Item>>,
  signal?: AbortSignal,
): AsyncGenerator<ChangeBatch<Item>, void, undefined> {
  let latest: ChangeBatch<Item> | undefined;
  const waiting = new Map<string, Change<Item>>();
  let ended = signal?.aborted === true;
  let wake = () => {};
  const end = () => {
    ended = true;
    wake();
  };
  const subscription = changes$.subscribe({
    next(batch) {
      latest = batch;
      addChanges(waiting, batch.changed);
      wake();
    },
    error: end,
    complete: end,
  });
  signal?.addEventListener('abort', end, { once: true });
  try {
    while (!ended) {
      if (latest === undefined) await new Promise<void>((resolve) => (wake = resolve));
      // The stream may have ended, by then also between two batches.
      if (latest === undefined || signal?.aborted === true) continue;
      const batch: ChangeBatch<Item> = { ...latest, changed: [...waiting.values()] };
      latest = undefined;
      waiting.clear();
      yield batch;
    }
  } finally {
    subscription.unsubscribe();
    signal?.removeEventListener('abort', end);
  }
}
