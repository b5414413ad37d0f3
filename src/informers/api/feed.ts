/**
 * One object of the API into a store: projected, with its issues, never the end of the stream.
 * Lists and watches share it, so that both read an object alike.
 */
import { objectKey } from '../../objects/index.ts';
import type { Store } from '../store.ts';
import type { KindSpec } from './kind-spec.ts';

interface RawMetadata {
  readonly name?: unknown;
  readonly namespace?: unknown;
  readonly resourceVersion?: unknown;
}

/** `metadata` of an object of unknown content; empty when there is none. */
export function metadataOf(raw: unknown): RawMetadata {
  const metadata = typeof raw === 'object' && raw !== null ? (raw as { metadata?: unknown }).metadata : undefined;
  return typeof metadata === 'object' && metadata !== null ? metadata : {};
}

/** A resource version as a number; versions that are none are not compared (`undefined`). */
export function versionNumber(version: unknown): number | undefined {
  return typeof version === 'string' && /^\d{1,15}$/.test(version) ? Number(version) : undefined;
}

/** The key of an object as the API names it; `undefined` when it has no name. */
export function keyOf(raw: unknown): string | undefined {
  const { name, namespace } = metadataOf(raw);
  if (typeof name !== 'string' || name === '') return undefined;
  return objectKey({ name, namespace: typeof namespace === 'string' ? namespace : '' });
}

/** Puts an object in force, or out of force where it cannot be read; returns its key. */
export function putRaw<Item>(store: Store<Item>, spec: KindSpec<Item>, raw: unknown): string | undefined {
  const key = keyOf(raw);
  if (key === undefined) return undefined;
  try {
    const { object, issues } = spec.project(raw);
    if (object === undefined) store.remove(key, issues);
    else store.put(key, object, issues);
  } catch (error) {
    const reason = `cannot be read: ${error instanceof Error ? error.message : String(error)}; the object is ignored`;
    store.remove(key, [{ object: `${spec.kind} ${key}`, field: '', reason }]);
  }
  return key;
}
