import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ChangeBatch } from './source.ts';
import { joinBatches } from './merge.ts';
import { createStore } from './store.ts';

interface Item {
  readonly value: number;
}

describe('store', () => {
  it('tells one change a key and flush, nothing that is equal, and everything to a late subscriber', () => {
    const store = createStore<Item>('Pod');
    const seen: ChangeBatch<Item>[] = [];
    store.source.changes$.subscribe((batch) => seen.push(batch));
    store.put('a', { value: 1 });
    store.put('a', { value: 2 });
    store.put('b', { value: 1 });
    store.remove('b');
    store.setSynced();
    store.flush();
    store.put('a', { value: 2 });
    store.flush();
    expect(seen).toEqual([
      { kind: 'Pod', synced: false, revision: 0, changed: [] },
      { kind: 'Pod', synced: true, revision: 1, changed: [{ key: 'a', object: { value: 2 }, previous: undefined }] },
    ]);
    const late: ChangeBatch<Item>[] = [];
    store.source.changes$.subscribe((batch) => late.push(batch));
    expect(late).toEqual([
      { kind: 'Pod', synced: true, revision: 1, changed: [{ key: 'a', object: { value: 2 }, previous: undefined }] },
    ]);
  });

  it('a change caused by a subscriber while the replay is told is not lost to it', () => {
    const store = createStore<Item>('Pod');
    store.put('a', { value: 1 });
    store.flush();
    const seen: string[][] = [];
    store.source.changes$.subscribe((batch) => {
      seen.push(batch.changed.map((one) => one.key));
      if (seen.length === 1) {
        store.put('b', { value: 1 });
        store.flush();
      }
    });
    expect(seen).toEqual([['a'], ['b']]);
  });

  it('a slow consumer gets one merged batch of what happened meanwhile', async () => {
    const store = createStore<Item>('Pod');
    const iterator = store.source.batches()[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toMatchObject({ changed: [] });
    for (let value = 0; value < 1000; value++) {
      store.put('a', { value });
      store.put('gone', { value });
      store.flush();
      store.remove('gone');
      store.flush();
    }
    expect((await iterator.next()).value).toMatchObject({
      revision: 2000,
      changed: [{ key: 'a', object: { value: 999 }, previous: undefined }],
    });
    const next = iterator.next();
    store.close();
    expect(await next).toEqual({ done: true, value: undefined });
  });

  it('batches end with their signal', async () => {
    const store = createStore<Item>('Pod');
    const controller = new AbortController();
    let count = 0;
    setTimeout(() => controller.abort(), 20);
    for await (const batch of store.source.batches({ signal: controller.signal })) count += 1 + batch.changed.length;
    expect(count).toBe(1);
  });

  it('every subscriber, early, late or merged, ends with the same items (property)', () => {
    const step = fc.oneof(
      fc.record({ key: fc.constantFrom('a', 'b', 'c'), value: fc.option(fc.integer({ min: 0, max: 2 })) }),
      fc.constant('flush' as const),
      fc.constant('subscribe' as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const store = createStore<Item>('Pod');
        const mirrors: Map<string, Item>[] = [];
        const joined: ChangeBatch<Item>[] = [];
        const follow = () => {
          const mirror = new Map<string, Item>();
          mirrors.push(mirror);
          store.source.changes$.subscribe(({ changed }) => {
            for (const { key, object, previous } of changed) {
              expect(mirror.get(key)).toEqual(previous);
              if (object === undefined) mirror.delete(key);
              else mirror.set(key, object);
            }
          });
        };
        follow();
        store.source.changes$.subscribe((batch) =>
          joined.push(joined.length === 0 ? batch : joinBatches(joined.pop()!, batch)),
        );
        for (const one of steps) {
          if (one === 'flush') store.flush();
          else if (one === 'subscribe') follow();
          else if (one.value === null) store.remove(one.key);
          else store.put(one.key, { value: one.value });
        }
        store.flush();
        const items = new Map(store.source.snapshot().items);
        for (const mirror of mirrors) expect(mirror).toEqual(items);
        expect(
          new Map(joined[0]?.changed.flatMap((one) => (one.object === undefined ? [] : [[one.key, one.object]]))),
        ).toEqual(items);
      }),
    );
  });
});
