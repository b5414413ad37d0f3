/**
 * The moments inside one batch of set changes, each line of it an instant that packets may meet.
 */
import { describe, expect, test } from 'vitest';
import { createPolicyCompiler } from '../compile/compiler.ts';
import { createIptablesTarget } from '../target/iptables.ts';
import { createFakeNetfilter } from '../../../test/support/firewall/fake-netfilter.ts';
import type { FakeNetfilter } from '../../../test/support/firewall/fake-netfilter.ts';
import { labels, pod, policy } from '../../../test/support/firewall/objects.ts';
import { opening } from '../../../test/support/firewall/packet.ts';

/** Whether somebody outside reaches a pod. */
const opens = (machine: FakeNetfilter, destination: string, port: number): boolean =>
  machine.passes(opening('192.0.2.1', destination, port));

/** A pod of the shop with a named port, and the policy that opens it. */
const web = (name: string, address: string) => ({
  key: `shop/${name}`,
  object: pod(`shop/${name}`, [address], { app: 'web' }, { ports: [{ name: 'http', protocol: 'TCP', port: 8080 }] }),
});
const http = { peers: [], ports: [{ protocol: 'TCP' as const, port: 'http' }] };
const opened = { key: 'shop/p', object: policy('shop/p', labels({ app: 'web' }), { ingress: [http] }) };
/** Classes without a rule: with three of them, packets of TCP find the first by a way of their own. */
const apps = ['db', 'mail', 'log'];
const others = apps.map((app, at) => ({
  key: `shop/${app}`,
  object: pod(`shop/${app}`, [`10.1.0.${at + 7}`], { app }),
}));
const closed = apps.map((app) => ({
  key: `shop/q-${app}`,
  object: policy(`shop/q-${app}`, labels({ app }), { ingress: [] }),
}));

/** Pods of a kind, and the policy that opens the port of that kind to everybody. */
const podOf = (at: number, kind: number) => ({
  key: `shop/pod-${at}`,
  object: pod(`shop/pod-${at}`, [`10.1.0.${at + 1}`], { app: `k${kind}` }),
});
const policiesOf = (kinds: number, base: number) =>
  Array.from({ length: kinds }, (_, kind) => {
    const rule = { peers: [], ports: [{ protocol: 'TCP' as const, port: base + kind }] };
    return {
      key: `shop/p${kind}`,
      object: policy(`shop/p${kind}`, labels({ app: `k${kind}` }), { ingress: [rule] }),
    };
  });

describe.each([
  ['by the tree', false],
  ['by a way of its protocol', true],
])('a pod that appears in a known class found %s', (_, short) => {
  test('is never without its named port, nor open beyond it, and neither when it goes', async () => {
    const compiler = createPolicyCompiler({ node: 'n1' });
    const machine = createFakeNetfilter();
    const target = createIptablesTarget({ runner: machine.runner });
    const { signal } = new AbortController();
    const first = compiler.update({
      pods: [web('one', '10.1.0.1'), ...(short ? others : [])],
      policies: [opened, ...closed],
    });
    const root = first.state.families[4].chains.get(first.state.families[4].roots.ingress!);
    expect(root?.kind === 'dispatch' && root.branches.some(({ protocol }) => protocol === 'TCP')).toBe(short);
    let held = await target.apply(target.plan(first.state, await target.observe(signal), { prune: true }), signal);
    let moments: string[] = [];
    machine.onChange = () => {
      moments.push([8080, 22].filter((port) => opens(machine, '10.1.0.2', port)).join());
    };
    const step = async (change: Parameters<typeof compiler.update>[0]): Promise<string[]> => {
      moments = [];
      const { state, dirty } = compiler.update(change);
      held = await target.apply(target.plan(state, held.observed!, { prune: true, dirty }), signal);
      return moments;
    };
    // Named port, class, isolation; then the end of the batch.
    expect(await step({ pods: [web('two', '10.1.0.2')] })).toEqual(
      short ? ['8080,22', '8080', '8080', '8080'] : ['8080,22', '8080,22', '8080', '8080'],
    );
    expect(await step({ pods: [{ key: 'shop/two', object: undefined }] })).toEqual(
      short ? ['8080', '8080,22', '8080,22', '8080,22'] : ['8080,22', '8080,22', '8080,22', '8080,22'],
    );
  });
});

test('a pod that an interrupted pass left in a class, and that nothing isolates any more, is not refused when a way to that class comes', async () => {
  const compiler = createPolicyCompiler({ node: 'n1' });
  const machine = createFakeNetfilter();
  const target = createIptablesTarget({ runner: machine.runner });
  const { signal } = new AbortController();
  const first = compiler.update({ pods: [web('one', '10.1.0.1')], policies: [opened, ...closed] });
  await target.apply(target.plan(first.state, await target.observe(signal), { prune: true }), signal);
  const [name] = [...machine.sets.keys()].filter((set) => set.includes('-class-'));
  machine.sets.get(name!)!.members.set('10.1.0.2', false);
  const moments: boolean[] = [];
  machine.onChange = () => moments.push(opens(machine, '10.1.0.2', 22));
  const second = compiler.update({ pods: others });
  await target.apply(target.plan(second.state, await target.observe(signal), { prune: true }), signal);
  expect(new Set(moments)).toEqual(new Set([true]));
  expect(machine.sets.get(name!)!.members.has('10.1.0.2')).toBe(false);
});

test('a pod that moves to a new one of many classes is judged by no third, even while nothing may be removed', async () => {
  const KINDS = 30;
  const { signal } = new AbortController();
  const policies = policiesOf(KINDS, 8000);
  const move = async (classes: number, kind: number, prune: boolean): Promise<number> => {
    const compiler = createPolicyCompiler({ node: 'n1' });
    const machine = createFakeNetfilter();
    const target = createIptablesTarget({ runner: machine.runner });
    // The first class has two pods: were it to go, nothing would be done before removing is allowed.
    const pods = Array.from({ length: classes + 1 }, (_, at) => podOf(at, at % classes));
    const first = compiler.update({ policies, pods });
    const held = await target.apply(target.plan(first.state, await target.observe(signal), { prune: true }), signal);
    const moments: string[] = [];
    machine.onChange = () => {
      const open = Array.from({ length: KINDS }, (_, at) => 8000 + at).filter((port) =>
        opens(machine, '10.1.0.1', port),
      );
      moments.push(open.join());
    };
    const { state, dirty } = compiler.update({ pods: [podOf(0, kind)] });
    await target.apply(target.plan(state, held.observed!, { prune, dirty }), signal);
    expect(['8000', `${8000 + kind}`]).toEqual(expect.arrayContaining([...new Set(moments)]));
    return moments.length;
  };
  let waited = 0;
  let moved = 0;
  for (const classes of [6, 9, 12, 15]) {
    for (let kind = classes; kind < KINDS; kind++) {
      expect(await move(classes, kind, true)).toBeGreaterThan(0);
      // Where the new tree would lose sight of the pod in its old class, the old rules stay until it may leave.
      if ((await move(classes, kind, false)) > 0) moved++;
      else waited++;
    }
  }
  expect(moved).toBeGreaterThan(0);
  expect(waited).toBeGreaterThan(0);
});

test('a class that grows so large that it is asked for first, and shrinks again: every pod is judged by its own rules throughout', async () => {
  const { signal } = new AbortController();
  const LARGE = 64;
  // Another port makes other names of classes, and with them another tree.
  for (const base of [7000, 8000, 9000, 10_000, 11_000, 12_000, 13_000, 14_000]) {
    const kinds = base % 2000 === 0 ? 15 : 12;
    const policies = policiesOf(kinds, base);
    // One pod of each kind, then as many of the first as just do not weigh more than any other.
    const pods = Array.from({ length: kinds + LARGE - 2 }, (_, at) => podOf(at, at < kinds ? at : 0));
    const compiler = createPolicyCompiler({ node: 'n1' });
    const machine = createFakeNetfilter();
    const target = createIptablesTarget({ runner: machine.runner });
    const first = compiler.update({ policies, pods });
    let held = await target.apply(target.plan(first.state, await target.observe(signal), { prune: true }), signal);
    const wrong: string[] = [];
    machine.onChange = () => {
      for (const at of [0, 1, 2, kinds - 1, kinds, kinds + 1]) {
        for (const kind of [0, 1, 2, kinds - 1]) {
          const open = opens(machine, `10.1.0.${at + 1}`, base + kind);
          if (open !== (kind === (at < kinds ? at : 0))) wrong.push(`pod ${at}, port ${base + kind}: ${open}`);
        }
      }
    };
    const last = podOf(kinds + LARGE - 2, 0);
    const ways = [first.state.families[4].roots.ingress];
    for (const change of [last, { ...last, object: undefined }]) {
      const { state, dirty } = compiler.update({ pods: [change] });
      ways.push(state.families[4].roots.ingress);
      held = await target.apply(target.plan(state, held.observed!, { prune: true, dirty }), signal);
      expect(wrong).toEqual([]);
    }
    expect(ways[1]).not.toBe(ways[0]);
    expect(ways[2]).toBe(ways[0]);
  }
});
