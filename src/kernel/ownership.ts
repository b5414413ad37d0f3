/**
 * The record of what is ours: what each block applied, and what a sysctl or file held before we changed it.
 * It lets `cleanup` be the exact inverse in another process and after a crash: an entry is on disk before the kernel changes,
 * and a value is given back only where it still is the one that we wrote.
 * One JSON document, replaced by rename; changes since then are lines of a journal beside it, so that the cost of one change is one line.
 */
import { appendFile, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SdkError } from '../net/errors.ts';

/** A value that we changed: what it was and what we made of it. */
export interface OwnedValue {
  /** What was there before; null: nothing was. */
  readonly before: string | null;
  /** What we wrote last. */
  readonly ours: string;
}

/** What one block owns. */
export interface BlockOwnership {
  /** Items applied: key to whatever the block needs to remove them, as text. */
  readonly applied: ReadonlyMap<string, string>;
  /** Values changed: name (`net/ipv4/ip_forward`, a file's path) to before and ours. */
  readonly values: ReadonlyMap<string, OwnedValue>;
  /** Records items before they are applied. Resolves when that is on disk. */
  add(items: Iterable<readonly [key: string, text: string]>): Promise<void>;
  /** Forgets items after they were removed. */
  remove(keys: Iterable<string>): Promise<void>;
  /** Records that a value is about to change; the first `before` is kept for good. */
  remember(name: string, before: string | null, ours: string): Promise<void>;
  /** Forgets a value after it was given back. */
  forget(name: string): Promise<void>;
}

/** The record of all blocks. */
export interface Ownership {
  /** Names of blocks that own something. */
  readonly blocks: readonly string[];
  /** Why an existing record could not be read; it was kept beside under the name `….damaged`. */
  readonly damaged: string | undefined;
  /** The part of the record that belongs to one block, made when it is first asked for. */
  block(name: string): BlockOwnership;
  /** Writes the document anew and empties the journal; removes both when nothing is owned any more. */
  compact(): Promise<void>;
}

/** Options of {@link openOwnership}. */
export interface OwnershipOptions {
  /** @defaultValue '/run/kube-router-sdk/owned.json' */
  readonly path?: string;
  /** Journal lines after which the document is written anew. @defaultValue 10000 */
  readonly compactAfter?: number;
}

/** Default place of the record: gone with a reboot, as is what it tells of. */
export const OWNERSHIP_PATH = '/run/kube-router-sdk/owned.json';

interface BlockData {
  readonly applied: Map<string, string>;
  readonly values: Map<string, OwnedValue>;
}

/** One journal line: block, what was done, to which key, with what. */
type Entry =
  | readonly [block: string, verb: 'add', key: string, text: string]
  | readonly [block: string, verb: 'remember', name: string, value: OwnedValue]
  | readonly [block: string, verb: 'remove' | 'forget', key: string];

function play(blocks: Map<string, BlockData>, entry: Entry): void {
  const [block, verb, key, value] = entry;
  let data = blocks.get(block);
  if (data === undefined) blocks.set(block, (data = { applied: new Map(), values: new Map() }));
  if (verb === 'add') data.applied.set(key, value);
  else if (verb === 'remember') data.values.set(key, value);
  else if (verb === 'remove') data.applied.delete(key);
  else data.values.delete(key);
  if (data.applied.size === 0 && data.values.size === 0) blocks.delete(block);
}

const isText = (value: unknown): value is string => typeof value === 'string';

/** Reads one entry as untrusted JSON. */
function checkEntry(json: unknown): Entry {
  if (Array.isArray(json) && isText(json[0]) && isText(json[2])) {
    const [block, verb, key, value] = json as [string, unknown, string, unknown];
    if (verb === 'remove' || verb === 'forget') return [block, verb, key];
    if (verb === 'add' && isText(value)) return [block, verb, key, value];
    if (verb === 'remember' && typeof value === 'object' && value !== null) {
      const { before, ours } = value as { before?: unknown; ours?: unknown };
      if ((before === null || isText(before)) && isText(ours)) return [block, verb, key, { before, ours }];
    }
  }
  throw new SdkError('not an entry of the ownership record', { code: 'PARSE_FAILED' });
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw cause;
  }
}

/**
 * Opens the record of one agent, reading what an earlier process left. One process at a time writes it.
 * @throws the file system's error when the folder cannot be read
 */
export async function openOwnership(options: OwnershipOptions = {}): Promise<Ownership> {
  const path = options.path ?? OWNERSHIP_PATH;
  const journal = `${path}.journal`;
  const compactAfter = options.compactAfter ?? 10_000;
  const blocks = new Map<string, BlockData>();
  let damaged: string | undefined;
  let lines = 0;

  const text = await readText(path);
  try {
    const entries: unknown = text === undefined ? [] : (JSON.parse(text) as { entries?: unknown }).entries;
    if (!Array.isArray(entries)) throw new SdkError('the record has no entries', { code: 'PARSE_FAILED' });
    for (const entry of entries) play(blocks, checkEntry(entry));
    for (const line of (await readText(journal))?.split('\n') ?? []) {
      // A crash can cut the last line: what it announced was not yet done.
      if (line === '') continue;
      lines++;
      let json: unknown;
      try {
        json = JSON.parse(line);
      } catch {
        break;
      }
      play(blocks, checkEntry(json));
    }
  } catch (cause) {
    damaged = cause instanceof Error ? cause.message : String(cause);
    await rename(path, `${path}.damaged`);
  }

  // Writes happen one after another, in the order they were asked for.
  let queue: Promise<void> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const turn = queue.then(work);
    queue = turn.catch(() => undefined);
    return turn;
  };

  async function rewrite(): Promise<void> {
    if (blocks.size === 0) {
      await rm(path, { force: true });
      await rm(journal, { force: true });
      return;
    }
    const entries: Entry[] = [];
    for (const [block, { applied, values }] of blocks) {
      for (const [key, item] of applied) entries.push([block, 'add', key, item]);
      for (const [name, value] of values) entries.push([block, 'remember', name, value]);
    }
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    const next = `${path}.next`;
    const file = await open(next, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify({ version: 1, entries }, undefined, 1)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(next, path);
    // A crash in between replays the journal onto a document that already holds it: every entry is idempotent.
    await rm(journal, { force: true });
    lines = 0;
  }

  function record(entries: readonly Entry[]): Promise<void> {
    if (entries.length === 0) return queue;
    for (const entry of entries) play(blocks, entry);
    return inTurn(async () => {
      lines += entries.length;
      if (lines > compactAfter || blocks.size === 0) {
        await rewrite();
        return;
      }
      if (lines === entries.length) await mkdir(dirname(path), { recursive: true, mode: 0o755 });
      await appendFile(journal, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''), { mode: 0o600 });
    });
  }

  const none: BlockData = { applied: new Map(), values: new Map() };
  return {
    get blocks() {
      return [...blocks.keys()];
    },
    damaged,
    compact: () => inTurn(rewrite),
    block(name) {
      const data = (): BlockData => blocks.get(name) ?? none;
      return {
        get applied() {
          return data().applied;
        },
        get values() {
          return data().values;
        },
        add: (items) =>
          record(
            [...items]
              .filter(([key, item]) => data().applied.get(key) !== item)
              .map(([key, item]): Entry => [name, 'add', key, item]),
          ),
        remove: (keys) =>
          record([...keys].filter((key) => data().applied.has(key)).map((key): Entry => [name, 'remove', key])),
        remember(key, before, ours) {
          const known = data().values.get(key);
          if (known?.ours === ours) return queue;
          return record([[name, 'remember', key, { before: known === undefined ? before : known.before, ours }]]);
        },
        forget: (key) => record(data().values.has(key) ? [[name, 'forget', key]] : []),
      };
    },
  };
}
