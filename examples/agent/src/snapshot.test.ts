/** The snapshot: what is written, what is refused, and how it stands in for an API that does not answer. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createStore, type NodeObject, type ObjectSource } from 'kube-router-sdk/informers';
import { NEVER } from 'rxjs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseSnapshot, readSnapshot, renderSnapshot, writeSnapshot, type SavedObjects } from './snapshot-file.ts';
import { createSnapshotSource } from './snapshot-source.ts';

const node = (name: string, annotations: Record<string, string> = {}): NodeObject => ({
  kind: 'Node',
  namespace: '',
  name,
  uid: name,
  labels: {},
  annotations,
  addresses: [],
  podCIDRs: [],
  unschedulable: false,
  ready: true,
  taints: [],
});
const saved = (...nodes: NodeObject[]): SavedObjects => ({
  savedAt: 1000,
  kinds: new Map([['Node', new Map(nodes.map((one) => [one.name, one]))]]),
});

let folder = '';
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'kra-snapshot-'))));
afterEach(() => rmSync(folder, { recursive: true }));

test('round trip, for root alone', async () => {
  const path = join(folder, 'a/snapshot.json');
  await writeSnapshot(path, saved(node('n1')));
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readSnapshot(path)).toEqual(saved(node('n1')));
  expect(readSnapshot(join(folder, 'none'))).toBeUndefined();
});

test('a damaged, cut or foreign file is refused', () => {
  const text = [...renderSnapshot(saved(node('n1')))].join('');
  expect(() => parseSnapshot(text.replace('n1', 'n2'))).toThrow('damaged');
  expect(() => parseSnapshot(text.slice(0, -10))).toThrow('damaged');
  expect(() => parseSnapshot('{"version":9}\n{}')).toThrow('version 9');
  const path = join(folder, 's');
  writeFileSync(path, 'no');
  expect(() => readSnapshot(path)).toThrow();
});

test('annotations that may carry passwords are left out', async () => {
  const path = join(folder, 's');
  const annotations = {
    'kube-router.io/peers': '- {remoteip: 10.0.0.1, remoteasn: 1, password: c2VjcmV0}',
    'kube-router.io/peer.passwords': 'c2VjcmV0',
    'kube-router.io/node.asn': '64512',
  };
  await writeSnapshot(path, saved(node('n1', annotations)));
  expect(readFileSync(path, 'utf8')).not.toContain('c2VjcmV0');
  expect(readFileSync(path, 'utf8')).toContain('64512');
});

test('stands in, stale, until the API has delivered', async () => {
  const store = createStore<NodeObject>('Node');
  const real: ObjectSource = {
    open: () => store.source as never,
    issues$: NEVER,
    close: async () => store.close(),
    [Symbol.asyncDispose]: async () => undefined,
  };
  let uses = 0;
  const source = createSnapshotSource({
    source: real,
    load: () => saved(node('old'), node('kept')),
    waitMs: 10,
    onUse: () => uses++,
  });
  const nodes = source.open('Node');
  expect(nodes.snapshot().synced).toBe(false);
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(uses).toBe(1);
  expect(nodes.snapshot()).toMatchObject({ synced: true, staleSince: 1000 });
  expect([...nodes.snapshot().items.keys()]).toEqual(['old', 'kept']);
  const seen: string[] = [];
  nodes.changes$.subscribe(({ changed }) =>
    seen.push(changed.map(({ key, object }) => `${key}:${object !== undefined}`).join()),
  );
  store.put('kept', node('kept'));
  store.put('new', node('new'));
  store.setSynced();
  store.flush();
  expect(nodes.snapshot().staleSince).toBeUndefined();
  expect([...nodes.snapshot().items.keys()].sort()).toEqual(['kept', 'new']);
  expect(seen[1]?.split(',').sort()).toEqual(['new:true', 'old:false']);
  await source.close();
});

test('a picture that grows is waited for; one that stands still is not', async () => {
  const stores = { Node: createStore<NodeObject>('Node'), Pod: createStore<never>('Pod') };
  const real: ObjectSource = {
    open: (kind) => stores[kind as 'Node'].source as never,
    issues$: NEVER,
    close: async () => stores.Node.close(),
    [Symbol.asyncDispose]: async () => undefined,
  };
  let uses = 0;
  const source = createSnapshotSource({
    source: real,
    load: () => saved(node('old')),
    waitMs: 40,
    onUse: () => uses++,
  });
  const nodes = source.open('Node');
  source.open('Pod');
  for (let count = 0; count < 10; count++) {
    stores.Node.put(`n${count}`, node(`n${count}`));
    stores.Node.flush();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(uses).toBe(0);
  await expect.poll(() => uses, { timeout: 1000 }).toBe(1);
  expect([...nodes.snapshot().items.keys()]).toEqual(['old']);
  await source.close();
});

test('an API that answers in time is all there is', async () => {
  const store = createStore<NodeObject>('Node');
  store.put('n1', node('n1'));
  store.setSynced();
  store.flush();
  const real: ObjectSource = {
    open: () => store.source as never,
    issues$: NEVER,
    close: async () => store.close(),
    [Symbol.asyncDispose]: async () => undefined,
  };
  const source = createSnapshotSource({
    source: real,
    load: () => saved(node('old')),
    waitMs: 5,
    onUse: () => expect.unreachable(),
  });
  const nodes = source.open('Node');
  expect([...nodes.snapshot().items.keys()]).toEqual(['n1']);
  await new Promise((resolve) => setTimeout(resolve, 20));
  store.remove('n1');
  store.flush();
  expect(nodes.snapshot().items.size).toBe(0);
  await source.close();
});
