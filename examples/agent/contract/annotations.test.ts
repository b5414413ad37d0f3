/** kube-router's annotation keys: absent, accepted, refused; a refused value is an issue that names its place. */
import { describe, expect, test } from 'vitest';
import { annotationContract } from './annotations.ts';

test('26 keys, each once', () => {
  expect(new Set(annotationContract.map(({ key }) => key)).size).toBe(26);
  expect(annotationContract).toHaveLength(26);
});

describe.each(annotationContract)('$key', ({ key, beside = {}, look, absent, accepted, refused }) => {
  test('absent', () => expect(look(beside).seen).toEqual(absent));
  test('accepted', () => {
    const { seen, issues } = look({ ...beside, [key]: accepted[0] });
    expect(seen).toEqual(accepted[1]);
    expect(issues.filter(({ field }) => field.includes(key))).toEqual([]);
  });
  test('refused', () => {
    const [text, seen, place] = refused;
    const found = look({ ...beside, [key]: text });
    expect(found.seen).toEqual(seen);
    const fields = found.issues.map(({ field }) => field);
    if (place === undefined) expect(fields.filter((field) => field.includes(key))).toEqual([]);
    else
      expect(
        fields.some((field) => field.includes(place)),
        fields.join(),
      ).toBe(true);
  });
});
