/** Nothing before all inputs are complete, everything dirty kept until then, and late subscribers get the whole. */
import type { Desired } from 'kube-router-sdk/kernel';
import { Subject } from 'rxjs';
import { expect, test } from 'vitest';
import { createFeed } from './feed.ts';

interface Change {
  readonly key: string;
  readonly synced: boolean;
}

function setUp() {
  const state = new Map<string, number>();
  const feed = createFeed<Map<string, number>>();
  const a = new Subject<Change>();
  const b = new Subject<Change>();
  let stale: number | undefined;
  const apply = ({ key }: Change) => {
    state.set(key, (state.get(key) ?? 0) + 1);
    return { state, dirty: new Set([key]) };
  };
  feed.add({ changes$: a, synced: (change) => change.synced, staleSince: () => stale }, apply);
  feed.add({ changes$: b, synced: (change) => change.synced }, apply);
  const seen: Desired<Map<string, number>>[] = [];
  feed.desired$.subscribe((desired) => seen.push(desired));
  return { feed, a, b, seen, setStale: (at: number | undefined) => (stale = at) };
}

test('waits for all, then says all that is dirty', () => {
  const { a, b, seen } = setUp();
  a.next({ key: 'a1', synced: true });
  b.next({ key: 'b1', synced: false });
  a.next({ key: 'a2', synced: true });
  expect(seen).toEqual([]);
  b.next({ key: 'b2', synced: true });
  expect(seen).toHaveLength(1);
  expect([...(seen[0]?.dirty ?? [])]).toEqual(['a1', 'b1', 'a2', 'b2']);
  a.next({ key: 'a1', synced: true });
  expect([...(seen[1]?.dirty ?? [])]).toEqual(['a1']);
});

test('a late subscriber gets the whole state, with nothing called clean', () => {
  const { feed, a, b } = setUp();
  a.next({ key: 'a1', synced: true });
  b.next({ key: 'b1', synced: true });
  const late: Desired<Map<string, number>>[] = [];
  feed.desired$.subscribe((desired) => late.push(desired));
  expect(late).toHaveLength(1);
  expect(late[0]?.dirty).toBeUndefined();
  expect([...(late[0]?.state.keys() ?? [])]).toEqual(['a1', 'b1']);
});

test('staleness rides along and is told on refresh', () => {
  const { feed, a, b, seen, setStale } = setUp();
  a.next({ key: 'a1', synced: true });
  b.next({ key: 'b1', synced: true });
  setStale(1000);
  feed.refresh();
  expect(seen.map(({ staleSince }) => staleSince)).toEqual([undefined, 1000]);
  expect(seen[1]?.dirty?.size).toBe(0);
});

test('an input that does not hold back only keeps pruning waiting', () => {
  const feed = createFeed<Map<string, number>>();
  const objects = new Subject<Change>();
  const routes = new Subject<Change>();
  const compiled = { state: new Map(), dirty: new Set<string>() };
  feed.add({ changes$: objects, synced: ({ synced }) => synced }, () => compiled);
  feed.add({ changes$: routes, synced: ({ synced }) => synced, holds: false }, () => compiled);
  const seen: boolean[] = [];
  feed.desired$.subscribe(({ synced }) => seen.push(synced));
  objects.next({ key: 'a', synced: true });
  routes.next({ key: 'r', synced: false });
  routes.next({ key: 'r', synced: true });
  expect(seen).toEqual([false, false, true]);
});
