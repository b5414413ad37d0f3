/**
 * The last good objects on disk: versioned, checked by a digest, bounded, replaced by rename, readable by root alone, and
 * without secrets: an annotation that may carry a BGP password is left out.
 */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { NodeObject, ObjectKind } from 'kube-router-sdk/informers';

/** Largest file that is written or read. */
const MAX_BYTES = 256 * 1024 * 1024;
const VERSION = 2;

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

/** Objects a slice: writing them takes a few milliseconds, and between two slices others have their turn. */
const SLICE = 500;

/** The file's text, in pieces: a head, a line an object, and the digest of all lines before. */
export function* renderSnapshot({ savedAt, kinds }: SavedObjects): Generator<string> {
  const hash = createHash('sha256');
  let piece = `${JSON.stringify({ version: VERSION, savedAt, kinds: [...kinds.keys()] })}\n`;
  let count = 0;
  const flush = (): string => {
    const done = piece;
    hash.update(done);
    piece = '';
    return done;
  };
  for (const [kind, items] of kinds) {
    for (const [key, object] of items) {
      piece += `${JSON.stringify([kind, key, withoutSecrets(kind, object)])}\n`;
      if (++count % SLICE === 0) yield flush();
    }
  }
  yield flush();
  yield `${JSON.stringify({ sha256: hash.digest('hex') })}\n`;
}

/**
 * Reads the file's text.
 * @throws Error that says what is wrong with it
 */
export function parseSnapshot(text: string): SavedObjects {
  const lines = text.split('\n');
  const head = JSON.parse(lines[0] ?? '') as { version?: unknown; savedAt?: number; kinds?: ObjectKind[] };
  if (head.version !== VERSION) throw new Error(`version ${String(head.version)} is not ${VERSION}`);
  const last = lines.length - 2;
  const end = text.lastIndexOf('\n', text.length - 2) + 1;
  let sha256: unknown;
  try {
    ({ sha256 } = JSON.parse(lines[last] ?? '') as { sha256?: unknown });
  } catch {
    // Cut off: the digest below is missing.
  }
  if (sha256 !== createHash('sha256').update(text.slice(0, end)).digest('hex')) {
    throw new Error('its digest does not match: it is damaged');
  }
  const kinds = new Map<ObjectKind, Map<string, unknown>>((head.kinds ?? []).map((kind) => [kind, new Map()]));
  for (const line of lines.slice(1, last)) {
    const [kind, key, object] = JSON.parse(line) as [ObjectKind, string, unknown];
    kinds.get(kind)?.set(key, object);
  }
  return { savedAt: head.savedAt ?? 0, kinds };
}

/** Replaces the file, slice by slice; returns its size in bytes, or undefined when it would be too large. */
export async function writeSnapshot(path: string, saved: SavedObjects): Promise<number | undefined> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(`${path}.next`, 'w', 0o600);
  let bytes = 0;
  try {
    for (const piece of renderSnapshot(saved)) {
      bytes += (await file.write(piece)).bytesWritten;
      if (bytes > MAX_BYTES) break;
    }
  } finally {
    await file.close();
  }
  if (bytes > MAX_BYTES) {
    await rm(`${path}.next`);
    return undefined;
  }
  await rename(`${path}.next`, path);
  return bytes;
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
