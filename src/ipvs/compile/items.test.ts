import { describe, expect, test } from 'vitest';
import type { EntryItem } from '../model.ts';
import { createItemStore } from './items.ts';

const entry = (options = ''): EntryItem => ({ type: 'entry', key: 'entry/s/a', set: 's', element: 'a', options });

describe('the items of all Services', () => {
  test('an equal one leaves the one in force in place, which is given back to be kept instead', () => {
    const { items, put, replace, takeDirty } = createItemStore();
    const first = entry();
    expect(put(first)).toBe(first);
    expect([...takeDirty()]).toEqual([first.key]);
    expect(put(entry())).toBe(first);
    expect(replace(entry())).toBe(first);
    expect(items.get(first.key)).toBe(first);
    expect([...takeDirty()]).toEqual([]);
  });

  test('another form takes its place', () => {
    const { items, put, replace, takeDirty } = createItemStore();
    put(entry());
    takeDirty();
    const other = entry('skbmark 0x1/0x3fff');
    expect(replace(other)).toBe(other);
    expect(items.get(other.key)).toBe(other);
    expect([...takeDirty()]).toEqual([other.key]);
  });

  test('stays until as many dropped it as had put it', () => {
    const { items, put, drop } = createItemStore();
    put(entry());
    put(entry());
    drop('entry/s/a');
    expect(items.size).toBe(1);
    drop('entry/s/a');
    expect(items.size).toBe(0);
  });
});
