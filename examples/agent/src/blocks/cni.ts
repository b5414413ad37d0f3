/**
 * The node's CNI configuration: pod CIDRs and MTU of pod networking, kept in the file that the container runtime reads.
 */
import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { createCniTarget, type CniState } from 'kube-router-sdk/routing';
import type { Observable } from 'rxjs';
import { createFeed } from '../feed.ts';
import { part, type Part } from '../part.ts';
import type { BlockContext } from './context.ts';

/** Whether nobody else configures pod networking here: the folder is there, and holds no other configuration. */
export function mayCreate(path: string): boolean {
  const folder = dirname(path);
  if (!existsSync(folder)) return false;
  return !readdirSync(folder).some((name) => /\.(conf|conflist|json)$/.test(name) && name !== basename(path));
}

/** Wires the file to what pod networking says. */
export function wireCni(context: BlockContext, podNetwork$: Observable<CniState>): Part {
  const path = context.config.cniConfFile;
  const feed = createFeed<CniState>();
  feed.add({ changes$: podNetwork$, synced: () => true }, (state) => ({ state, dirty: new Set() }));
  context.onClose(() => feed.close());
  return part({
    name: 'cni',
    desired$: feed.desired$,
    target: createCniTarget({ path, create: mayCreate(path), ownership: context.ownership.block('cni') }),
    describe: ({ text }) =>
      Promise.resolve(text === undefined ? [] : [`write ${path}`, ...text.split('\n').map((l) => `  ${l}`)]),
    issues: () => [],
    resyncMs: context.config.flags['routes-sync-period'],
  });
}
