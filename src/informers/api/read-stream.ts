/**
 * Reading the body of a list or a watch: chunk by chunk as they come, with a watchdog for silence and pauses for everyone else.
 * Chunks are taken within the event that brings them, not queued for an iterator: they and what is made of them then die young,
 * which keeps the peak of a first list low (a fifth of it was chunks that waited).
 */
import type { Readable } from 'node:stream';

/** How a body is read. */
export interface ReadTask {
  /** Milliseconds without a byte until the answer counts as dead; asked after every chunk. */
  readonly silenceMs: () => number;
  /** Takes a chunk, which is valid until it returns; `false` ends the reading. What it throws ends it too. */
  readonly take: (chunk: Buffer) => boolean;
  /** Called before each pause and at the end. */
  readonly onPause: () => void;
}

/** `code` of the error of a body that fell silent. */
export const SILENT = 'SILENT';

/** Milliseconds of work between two pauses. */
const SLICE_MS = 10;

/**
 * Reads a body to its end, or until `take` has enough; the body is destroyed then.
 * @throws Error the connection broke, fell silent, or `take` threw
 */
export function readStream(body: Readable, task: ReadTask): Promise<void> {
  return new Promise((resolve, reject) => {
    let over = false;
    let resuming: NodeJS.Immediate | undefined;
    let sliceStart = performance.now();
    let limit = task.silenceMs();
    const bark = () => end(Object.assign(new Error(`nothing came for ${limit} ms`), { code: SILENT }));
    let dog = setTimeout(bark, limit);

    const end = (error?: Error) => {
      if (over) return;
      over = true;
      clearTimeout(dog);
      clearImmediate(resuming);
      task.onPause();
      // Later errors of a body that is given up concern nobody.
      body.on('error', () => {}).destroy();
      if (error === undefined) resolve();
      else reject(error);
    };
    const guard = () => {
      const next = task.silenceMs();
      if (next === limit) return void dog.refresh();
      clearTimeout(dog);
      limit = next;
      dog = setTimeout(bark, limit);
    };

    body.on('data', (chunk: Buffer) => {
      if (over) return;
      try {
        if (!task.take(chunk)) return end();
      } catch (error) {
        return end(error as Error);
      }
      guard();
      if (performance.now() - sliceStart < SLICE_MS) return;
      body.pause();
      task.onPause();
      resuming = setImmediate(() => {
        sliceStart = performance.now();
        body.resume();
      });
    });
    body.on('end', () => end());
    body.on('error', end);
    body.on('close', () => end(new Error('the connection was closed')));
  });
}
