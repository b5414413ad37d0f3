/**
 * A block of your own under the one loop: a list of prefixes in a file becomes blackhole routes, and stays equal to the file whatever
 * happens to the kernel. Model, observe, plan, apply; all else (bursts, retries, pruning, drift) is `reconcile()`.
 * `node main.ts FILE`, one prefix a line; followed as it changes.
 */
import { readFile } from 'node:fs/promises';
import { watch } from 'node:fs';
import { Observable, concatMap, debounceTime, startWith } from 'rxjs';
import { createIp, createRunner, reconcile, renderIpRoute, watchIp } from 'kube-router-sdk/kernel';
import type { IpRoute, Target } from 'kube-router-sdk/kernel';
import { formatPrefix, tryParsePrefix } from 'kube-router-sdk/net';

const PROTOCOL = 199; // whose routes are ours: nobody else's are touched
const runner = createRunner();
const ip = createIp({ runner });
const route = (prefix: string): IpRoute => ({ type: 'blackhole', prefix, protocol: PROTOCOL, nextHops: [] });

interface Plan {
  readonly add: readonly string[];
  readonly remove: readonly string[];
}

const target: Target<ReadonlySet<string>, ReadonlySet<string>, Plan> = {
  name: 'blackholes',
  async observe(signal) {
    const routes = await ip.routes(4, { protocol: PROTOCOL, signal });
    return new Set(routes.map(({ prefix }) => prefix));
  },
  plan: (desired, observed, { prune }) => ({
    add: [...desired].filter((prefix) => !observed.has(prefix)),
    remove: prune ? [...observed].filter((prefix) => !desired.has(prefix)) : [],
  }),
  size: ({ add, remove }) => add.length + remove.length,
  async apply({ add, remove }, signal) {
    const lines = [
      ...add.map((prefix) => renderIpRoute('replace', route(prefix))),
      ...remove.map((prefix) => renderIpRoute('del', route(prefix))),
    ];
    const failures = await ip.batch(lines, { signal });
    // when something failed, the kernel is read again before the next plan
    return failures.length > 0 ? { failures } : { observed: await target.observe(signal), failures };
  },
};

const file = process.argv[2] ?? 'blocked.txt';
const changes$ = new Observable<void>((subscriber) => {
  const watcher = watch(file, () => subscriber.next());
  return () => watcher.close();
});
const desired$ = changes$.pipe(
  startWith(undefined),
  debounceTime(50),
  concatMap(async () => {
    const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line.trim() !== '');
    const read = lines.map((line) => tryParsePrefix(line.trim()) ?? line);
    for (const bad of read) if (typeof bad === 'string') console.log(`left out, no prefix: ${bad}`);
    return {
      state: new Set(read.flatMap((one) => (typeof one === 'string' ? [] : [formatPrefix(one)]))),
      synced: true,
    };
  }),
);
await using loop = reconcile(desired$, target, { drift$: watchIp({ runner, objects: ['route'] }) });
loop.events$.subscribe(({ reason, changes, remaining }) => {
  if (changes > 0) console.log(`${reason}: ${changes} changes, ${remaining} left`);
});
await new Promise((resolve) => process.once('SIGTERM', resolve));
