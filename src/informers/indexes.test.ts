import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createIndex, indexByAddress } from './indexes.ts';
import { createStore } from './store.ts';
import { projectPod } from '../objects/pod.ts';
import { buildPod } from '../testing/builders.ts';

it('an index equals a walk over everything after any history (property)', () => {
  const step = fc.record({
    key: fc.constantFrom('a', 'b', 'c'),
    tags: fc.option(fc.uniqueArray(fc.constantFrom('x', 'y', 'z'))),
    flush: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const store = createStore<{ tags: string[] }>('Thing');
      const index = createIndex(store.source, (item) => item.tags);
      for (const { key, tags, flush } of steps) {
        if (tags === null) store.remove(key);
        else store.put(key, { tags });
        if (flush) store.flush();
      }
      store.flush();
      const items = [...store.source.snapshot().items];
      for (const tag of ['x', 'y', 'z']) {
        const expected = items.filter(([, item]) => item.tags.includes(tag));
        expect(new Map(index.get(tag))).toEqual(new Map(expected));
      }
      expect([...index.values()].sort()).toEqual([...new Set(items.flatMap(([, item]) => item.tags))].sort());
    }),
  );
});

it('pods by address', () => {
  const store = createStore<NonNullable<ReturnType<typeof projectPod>['object']>>('Pod');
  const index = indexByAddress(store.source);
  store.put('a/p', projectPod(buildPod('a/p', { ips: ['10.0.0.1', 'fd00::1'] })).object!);
  store.flush();
  expect([...index.get('fd00::1').keys()]).toEqual(['a/p']);
  expect(index.get('10.0.0.2').size).toBe(0);
});
