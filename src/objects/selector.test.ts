import { describe, expect, it } from 'vitest';
import type { LabelSelector, StringMap } from './types.ts';
import { internList, internMap } from './intern.ts';
import { mapSelects, selectorMatches } from './selector.ts';

const expression = (key: string, operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist', ...values: string[]) => ({
  matchLabels: {},
  matchExpressions: [{ key, operator, values }],
});

describe('selectorMatches', () => {
  it.each<[string, LabelSelector, StringMap, boolean]>([
    ['empty selects all', { matchLabels: {}, matchExpressions: [] }, {}, true],
    ['label equal', { matchLabels: { a: '1' }, matchExpressions: [] }, { a: '1', b: '2' }, true],
    ['label differs', { matchLabels: { a: '1' }, matchExpressions: [] }, { a: '2' }, false],
    ['inherited names are no labels', { matchLabels: {}, matchExpressions: [] }, {}, true],
    ['In', expression('a', 'In', '1', '2'), { a: '2' }, true],
    ['In, absent', expression('a', 'In', '1'), {}, false],
    ['NotIn, absent', expression('a', 'NotIn', '1'), {}, true],
    ['NotIn, present', expression('a', 'NotIn', '1'), { a: '1' }, false],
    ['Exists, empty value', expression('a', 'Exists'), { a: '' }, true],
    ['Exists, inherited name', expression('constructor', 'Exists'), {}, false],
    ['DoesNotExist', expression('a', 'DoesNotExist'), { a: '' }, false],
    ['DoesNotExist, absent', expression('a', 'DoesNotExist'), {}, true],
  ])('%s', (_, selector, labels, expected) => {
    expect(selectorMatches(selector, labels)).toBe(expected);
  });

  it('an empty Service selector selects nothing', () => {
    expect(mapSelects({}, { a: '1' })).toBe(false);
    expect(mapSelects({ a: '1' }, { a: '1', b: '2' })).toBe(true);
    expect(mapSelects({ a: '1' }, { b: '2' })).toBe(false);
  });
});

describe('interning', () => {
  it('equal maps are one map whatever their order; unequal ones are not confused by delimiters', () => {
    expect(internMap({ a: '1', b: '2' })).toBe(internMap({ b: '2', a: '1' }));
    expect(internMap({ a: '11:b1:2' })).not.toBe(internMap({ a: '1', b: '2' }));
    expect(internList([{ x: 1 }])).toBe(internList([{ x: 1 }]));
  });
});
