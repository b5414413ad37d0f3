/**
 * The last good objects on disk: versioned, checked by a digest, bounded, replaced by rename, readable by root alone, and
 * without secrets: an annotation that may carry a BGP password is left out.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { NodeObject, ObjectKind } from 'kube-router-sdk/informers';

/** Largest file that is written or read. */
const MAX_BYTES = 256 * 1024 * 1024;
const VERSION = 1;

/** Annotations of a Node that may hold passwords. */
const SECRET_ANNOTATIONS: ReadonlySet<string> = new Set(['kube-router.io/peers', 'kube-router.io/peer.passwords']);

/** Objects of every kind by key, at one time. */
export interface SavedObjects {
  /** Epoch milliseconds. */
  readonly savedAt: number;
  readonly kinds: ReadonlyMap<ObjectKind, ReadonlyMap<string, unknown>>;
}

function withoutSecrets(kind: ObjectKind, object: unknown): unknown {
  if (kind !== 'Node') return object;
  const node = object as NodeObject;
  const kept = Object.entries(node.annotations).filter(([key]) => !SECRET_ANNOTATIONS.has(key));
  return { ...node, annotations: Object.fromEntries(kept) };
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

/** The file's text. */
export function renderSnapshot({ savedAt, kinds }: SavedObjects): string {
  const body = JSON.stringify({
    savedAt,
    kinds: Object.fromEntries(
      [...kinds].map(([kind, items]) => [kind, [...items].map(([key, object]) => [key, withoutSecrets(kind, object)])]),
    ),
  });
  return `${JSON.stringify({ version: VERSION, sha256: digest(body) })}\n${body}\n`;
}

/**
 * Reads the file's text.
 * @throws Error that says what is wrong with it
 */
export function parseSnapshot(text: string): SavedObjects {
  const end = text.indexOf('\n');
  const head = JSON.parse(text.slice(0, end)) as { version?: unknown; sha256?: unknown };
  if (head.version !== VERSION) throw new Error(`version ${String(head.version)} is not ${VERSION}`);
  const body = text.slice(end + 1).trimEnd();
  if (head.sha256 !== digest(body)) throw new Error('its digest does not match: it is damaged');
  const { savedAt, kinds } = JSON.parse(body) as { savedAt: number; kinds: Record<string, [string, unknown][]> };
  return {
    savedAt,
    kinds: new Map(Object.entries(kinds).map(([kind, items]) => [kind as ObjectKind, new Map(items)])),
  };
}

/** Replaces the file; returns its size in bytes, or undefined when it would be too large. */
export function writeSnapshot(path: string, saved: SavedObjects): number | undefined {
  const text = renderSnapshot(saved);
  if (text.length > MAX_BYTES) return undefined;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.next`, text, { mode: 0o600 });
  renameSync(`${path}.next`, path);
  return text.length;
}

/**
 * Reads the file; undefined when there is none.
 * @throws Error that says why it cannot be used
 */
export function readSnapshot(path: string): SavedObjects | undefined {
  try {
    if (statSync(path).size > MAX_BYTES) throw new Error('it is too large');
    return parseSnapshot(readFileSync(path, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
