/**
 * One copy of equal strings, label maps and lists.
 * A cluster repeats itself: thousands of pods share labels, node names and port lists, and an agent keeps them for weeks.
 * Two generations bound the table, so that what is no longer seen is forgotten; sharing is only ever an economy, never identity
 * that a reader may rely on.
 */
import type { StringMap } from './types.ts';

const GENERATION = 20_000;

/** Gives the first value seen for a key. */
interface Table<Value> {
  get(key: string): Value | undefined;
  set(key: string, value: Value): void;
}

function createTable<Value>(limit: number): Table<Value> {
  let young = new Map<string, Value>();
  let old = new Map<string, Value>();
  const set = (key: string, value: Value) => {
    if (young.size >= limit) {
      old = young;
      young = new Map();
    }
    young.set(key, value);
  };
  return {
    get(key) {
      const value = young.get(key);
      if (value !== undefined) return value;
      const kept = old.get(key);
      if (kept !== undefined) set(key, kept);
      return kept;
    },
    set,
  };
}

const strings = createTable<string>(GENERATION);
const maps = createTable<StringMap>(GENERATION);
const lists = createTable<readonly unknown[]>(GENERATION);

/** The shared empty map. */
export const EMPTY_MAP: StringMap = Object.freeze({});

/** The shared empty list. */
export const EMPTY_LIST: readonly never[] = Object.freeze([]);

const probe = new Map([['', true]]);

/**
 * The same text, made known to the engine's own table of strings. For texts of which each object has its own (names, addresses):
 * V8 looks a key up in a Map by its one shared copy, and puts that copy where long-lived values are at once. A text that is not
 * looked up is copied through the young generation twice, which makes that generation, and so the process, grow for nothing.
 */
export function settleString(value: string): string {
  probe.get(value);
  return value;
}

/** One copy of equal strings that repeat across objects. */
export function internString(value: string): string {
  const known = strings.get(value);
  if (known !== undefined) return known;
  strings.set(value, value);
  return value;
}

/** One frozen copy of equal maps, whatever the order of their keys. */
export function internMap(map: Record<string, string>): StringMap {
  const keys = Object.keys(map);
  if (keys.length === 0) return EMPTY_MAP;
  if (keys.length > 1) keys.sort();
  let text = '';
  for (const key of keys) {
    const value = map[key] ?? '';
    // Lengths delimit: no two maps share a key text.
    text += `${key.length}:${key}${value.length}:${value}`;
  }
  const known = maps.get(text);
  if (known !== undefined) return known;
  const own: Record<string, string> = {};
  for (const key of keys) own[internString(key)] = internString(map[key] ?? '');
  const frozen = Object.freeze(own);
  maps.set(text, frozen);
  return frozen;
}

/** One frozen copy of equal lists of plain JSON values. */
export function internList<Item>(list: readonly Item[]): readonly Item[] {
  if (list.length === 0) return EMPTY_LIST;
  const [only] = list;
  // Most lists are one address. No JSON of a list begins with a quote.
  const text = list.length === 1 && typeof only === 'string' ? `"${only}` : JSON.stringify(list);
  const known = lists.get(text);
  if (known !== undefined) return known as readonly Item[];
  const frozen = Object.freeze(list.map((item) => (typeof item === 'object' ? Object.freeze(item) : item)));
  lists.set(text, frozen);
  return frozen;
}
