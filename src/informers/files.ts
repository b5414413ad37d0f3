/**
 * Which files there are and when they may have changed.
 * Change notices of the kernel come from the folders, because editors and ConfigMap mounts replace files by renaming; a slow
 * comparison beside them covers file systems that give none.
 */
import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Identity of a file's content as the file system tells it. */
export interface FileStamp {
  readonly text: string;
}

/** What was found under the paths. */
export interface FoundFiles {
  readonly found: ReadonlyMap<string, FileStamp>;
  readonly failed: readonly { readonly path: string; readonly reason: string }[];
  readonly folders: ReadonlySet<string>;
}

const MANIFEST = /\.(ya?ml|json)$/i;

/** Lists the manifest files at the given files and folders, folders searched through. */
export async function listFiles(paths: readonly string[]): Promise<FoundFiles> {
  const found = new Map<string, FileStamp>();
  const failed: { path: string; reason: string }[] = [];
  const folders = new Set<string>();
  const visit = async (path: string, named: boolean) => {
    try {
      const info = await stat(path);
      if (info.isDirectory()) {
        // A link that leads back up would go round for ever.
        const identity = `${info.dev}:${info.ino}`;
        if (seen.has(identity)) return;
        seen.add(identity);
        folders.add(path);
        for (const name of (await readdir(path)).sort())
          if (!name.startsWith('.')) await visit(join(path, name), false);
      } else if (named || MANIFEST.test(path)) {
        if (named) folders.add(dirname(path));
        found.set(path, { text: `${info.ino}:${info.size}:${info.mtimeMs}:${info.ctimeMs}` });
      }
    } catch (error) {
      const reason = (error as NodeJS.ErrnoException).code ?? String(error);
      // A file that vanished between the listing and the look is simply gone.
      if (named || reason !== 'ENOENT') failed.push({ path, reason });
    }
  };
  const seen = new Set<string>();
  for (const path of paths) await visit(path, true);
  return { found, failed, folders };
}

/** Calls back, settled, when something under the paths may have changed. */
export function watchFiles(
  paths: readonly string[],
  times: { readonly settleMs: number; readonly pollMs: number },
  changed: () => Promise<void>,
): { close(): void } {
  const watchers = new Map<string, FSWatcher>();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let last = '';

  const soon = () => {
    if (closed) return;
    clearTimeout(timer);
    timer = setTimeout(() => void look(true), times.settleMs);
  };
  const look = async (told: boolean) => {
    const files = await listFiles(paths);
    if (closed) return;
    follow(files.folders);
    const now = JSON.stringify([[...files.found], files.failed]);
    const differs = now !== last;
    last = now;
    if (told || differs) await changed();
  };
  const follow = (folders: ReadonlySet<string>) => {
    for (const [folder, watcher] of watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      watchers.delete(folder);
    }
    for (const folder of folders) {
      if (watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, { persistent: false }, soon);
        const drop = () => {
          watcher.close();
          if (watchers.get(folder) === watcher) watchers.delete(folder);
        };
        watcher.on('error', drop);
        watchers.set(folder, watcher);
      } catch {
        // No notices from here (limits, odd file systems): the comparison remains.
      }
    }
  };
  const poll = setInterval(() => void look(false), times.pollMs);
  poll.unref();
  void look(false);
  return {
    close() {
      closed = true;
      clearInterval(poll);
      clearTimeout(timer);
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
    },
  };
}
