/**
 * Objects from files: Kubernetes YAML and JSON, in files and folders, followed as they change.
 * A file that breaks while it is being edited must not take its objects out of the kernel: what a document last said well stays
 * in force until it says something else or is gone. Same interface as the API server's source.
 * Stands on documents.ts (text to objects), files.ts (which files, when) and store.ts (streams).
 */
import { readFile } from 'node:fs/promises';
import { BehaviorSubject } from 'rxjs';
import { SdkError } from '../net/errors.ts';
import type { Issue } from '../net/values.ts';
import { KINDS } from '../objects/index.ts';
import type { ObjectKind, ObjectKinds, StringMap } from '../objects/types.ts';
import type { ManifestObject } from './documents.ts';
import { listFiles, watchFiles } from './files.ts';
import type { FileStamp } from './files.ts';
import { parseLabelSelector } from './label-selector.ts';
import { createStore } from './store.ts';
import type { Store } from './store.ts';
import type { ObjectSource, SelectOptions, Source } from './source.ts';

/** How manifests are read. */
export interface ManifestOptions {
  /** Files and folders; folders are searched through for `.yaml`, `.yml` and `.json`, names beginning with a dot left out. */
  readonly paths: readonly string[];
  /** Follow changes. @defaultValue true */
  readonly watch?: boolean;
  /** Quiet time before a changed file is read, in milliseconds. @defaultValue 100 */
  readonly settleMs?: number;
  /** How often files are compared anyway, for file systems that tell of no changes, in milliseconds. @defaultValue 5000 */
  readonly pollMs?: number;
}

/** Objects from files. */
export interface ManifestSource extends ObjectSource {
  /** Reads now what changed on disk; resolves when it is in the streams. */
  reload(): Promise<void>;
}

/** What is known of one file. */
interface KnownFile {
  readonly stamp: string;
  readonly objects: ReadonlyMap<string, ManifestObject>;
  readonly issues: readonly Issue[];
}

/**
 * Opens manifests; resolves when all of them have been read.
 * @throws SdkError `INVALID_OPTION` when a path is not there or cannot be read.
 */
export async function createManifestSource(options: ManifestOptions): Promise<ManifestSource> {
  const files = new Map<string, KnownFile>();
  const stores = new Map<string, OpenStore>();
  const issues = new BehaviorSubject<readonly Issue[]>([]);
  let pathIssues: readonly Issue[] = [];
  let closed = false;

  const load = async (first: boolean) => {
    const { found, failed } = await listFiles(options.paths);
    const problem = failed[0];
    if (first && problem !== undefined)
      throw new SdkError(`Cannot read manifests at ${problem.path}: ${problem.reason}`, {
        code: 'INVALID_OPTION',
        details: { path: problem.path },
      });
    pathIssues = failed.map(({ path, reason }) => ({
      object: `Manifest ${path}`,
      field: '',
      reason: `cannot be read (${reason}); what it said stays in force`,
      source: path,
    }));
    for (const [path, stamp] of found) await readFileAgain(files, path, stamp, first ? 0 : (options.settleMs ?? 100));
    if (failed.length === 0) for (const path of [...files.keys()]) if (!found.has(path)) files.delete(path);
    const all = effective(files);
    for (const store of stores.values()) fill(store, all, failed.length > 0);
    issues.next([...pathIssues, ...[...files.values()].flatMap((file) => file.issues), ...objectIssues(all)]);
  };

  await load(true);
  // One at a time, and one more for what happened meanwhile.
  let running: Promise<void> = Promise.resolve();
  const reload = () => (running = running.then(() => (closed ? undefined : load(false))));
  const watcher =
    options.watch === false
      ? undefined
      : watchFiles(options.paths, { settleMs: options.settleMs ?? 100, pollMs: options.pollMs ?? 5000 }, reload);

  const close = async () => {
    if (closed) return;
    closed = true;
    watcher?.close();
    await running;
    for (const { store } of stores.values()) store.close();
    issues.complete();
  };
  return {
    issues$: issues.asObservable(),
    open<Kind extends ObjectKind>(kind: Kind, select: SelectOptions = {}) {
      const id = JSON.stringify([kind, select.namespace ?? '', select.labelSelector ?? '']);
      let open = stores.get(id);
      if (open === undefined) {
        open = openStore(kind, select);
        stores.set(id, open);
        fill(open, effective(files), pathIssues.length > 0);
      }
      return open.store.source as Source<ObjectKinds[Kind]>;
    },
    reload,
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface OpenStore {
  readonly kind: ObjectKind;
  readonly store: Store<ObjectKinds[ObjectKind]>;
  readonly selects: (object: { readonly namespace: string; readonly labels: StringMap }) => boolean;
}

function openStore(kind: ObjectKind, select: SelectOptions): OpenStore {
  if (select.fieldSelector !== undefined)
    throw new SdkError('Manifests cannot be selected by field', {
      code: 'INVALID_OPTION',
      details: { path: 'fieldSelector' },
    });
  const matches = parseLabelSelector(select.labelSelector ?? '');
  const namespace = KINDS[kind].namespaced ? select.namespace : undefined;
  return {
    kind,
    store: createStore<ObjectKinds[ObjectKind]>(kind),
    selects: (object) => (namespace === undefined || object.namespace === namespace) && matches(object.labels),
  };
}

async function readFileAgain(files: Map<string, KnownFile>, path: string, stamp: FileStamp, settleMs: number) {
  const known = files.get(path);
  if (known?.stamp === stamp.text) return;
  let text: string;
  try {
    text = await readFile(path, 'utf8');
    if (text === '' && settleMs > 0 && known !== undefined && known.objects.size > 0) {
      // An editor that truncates before it writes: an empty file is believed only when it stays empty.
      await new Promise((resolve) => setTimeout(resolve, settleMs * 3));
      text = await readFile(path, 'utf8');
    }
  } catch (error) {
    const reason = `cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)}); what it said stays in force`;
    const issues = [{ object: `Manifest ${path}`, field: '', reason, source: path }];
    files.set(path, { stamp: '', objects: known?.objects ?? new Map(), issues });
    return;
  }
  // the YAML parser comes with the first file: who reads none does not pay for it
  const { readDocuments } = await import('./documents.ts');
  files.set(path, { stamp: stamp.text, ...keepLastGood(readDocuments(text, path), known) });
}

/** Puts the last good version of a document in the place of one that no longer reads well. */
function keepLastGood(
  read: { readonly objects: readonly ManifestObject[]; readonly issues: readonly Issue[] },
  known: KnownFile | undefined,
): { objects: ReadonlyMap<string, ManifestObject>; issues: readonly Issue[] } {
  const objects = new Map<string, ManifestObject>();
  const issues = [...read.issues];
  for (const one of read.objects) {
    const id = `${one.kind} ${one.key}`;
    const twin = objects.get(id);
    if (twin !== undefined) {
      issues.push({
        object: id,
        field: '',
        reason: 'is declared twice in this file; the first stays',
        source: one.source,
      });
      continue;
    }
    const good = one.issues.length === 0 ? one.object : known?.objects.get(id)?.good;
    if (good === undefined || good === one.object) objects.set(id, good === undefined ? one : { ...one, good });
    else {
      const stays = one.issues.map((issue) => ({
        ...issue,
        reason: `${issue.reason}; the last good version stays in force`,
      }));
      objects.set(id, { ...one, object: good, good, issues: stays });
    }
  }
  // A document that cannot even be named may be any of those that are missing now: all of them stay.
  if (read.issues.length > 0 && known !== undefined) {
    for (const [id, one] of known.objects) if (!objects.has(id)) objects.set(id, { ...one, issues: [] });
  }
  return { objects, issues };
}

/** The objects in force over all files; of two that bear one name the first file's, in order of paths. */
function effective(files: ReadonlyMap<string, KnownFile>): ReadonlyMap<string, ManifestObject> {
  const all = new Map<string, ManifestObject>();
  for (const path of [...files.keys()].sort()) {
    for (const [id, one] of files.get(path)?.objects ?? []) {
      const first = all.get(id);
      if (first === undefined) all.set(id, one);
      else {
        const reason = `is declared again in ${one.source}; that one is ignored`;
        all.set(id, { ...first, issues: [...first.issues, { object: id, field: '', reason, source: first.source }] });
      }
    }
  }
  return all;
}

function objectIssues(all: ReadonlyMap<string, ManifestObject>): Issue[] {
  return [...all.values()].flatMap((one) => one.issues);
}

function fill({ kind, store, selects }: OpenStore, all: ReadonlyMap<string, ManifestObject>, stale: boolean): void {
  const gone = new Set(store.keys());
  for (const one of all.values()) {
    if (one.kind !== kind || (one.object !== undefined && !selects(one.object))) continue;
    gone.delete(one.key);
    if (one.object === undefined) store.remove(one.key, one.issues);
    else store.put(one.key, one.object, one.issues);
  }
  for (const key of gone) store.remove(key);
  store.setSynced();
  store.setStale(stale ? Date.now() : undefined);
  const reason = stale ? 'a path of the manifests cannot be read' : '';
  store.setState({ phase: stale ? 'waiting' : 'watching', since: Date.now(), reason });
  store.flush();
}
