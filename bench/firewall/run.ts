/**
 * Speed of the policy firewall: first compile and load, one change, the number of kernel objects, memory; beside the shape that
 * kube-router gives its rules (two chains' worth of linear jumps a pod, every change a rewrite), emulated in the same run.
 * Loads into a network namespace of its own, so it needs root; without it the loading lines say so.
 */
import { spawnSync } from 'node:child_process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createRunner } from '../../src/kernel/index.ts';
import type { PodObject } from '../../src/objects/index.ts';
import { createRecordingRunner } from '../../src/testing/index.ts';
import { createFirewallTarget, createPolicyCompiler } from '../../src/firewall/index.ts';
import type { FirewallState, FirewallUpdate } from '../../src/firewall/index.ts';
import { planIptables } from '../../src/firewall/plan/iptables.ts';
import { renderChains, renderSets } from '../../src/firewall/render/restore.ts';
import { parseSets, emptyFamily } from '../../src/firewall/parse/iptables.ts';
import { renderChain, renderEntries } from '../../src/firewall/render/iptables.ts';
import { benchPod, benchWorld } from './world.ts';
import type { BenchWorld } from './world.ts';
import { linearShape } from './linear.ts';
import { packetCosts } from './packets.ts';
import type { PacketCost } from './packets.ts';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

const NETNS = `krf-bench-${process.pid}`;
const rows: [what: string, seen: string, wanted: string][] = [];
const report = (what: string, seen: string, wanted = ''): void => void rows.push([what, seen, wanted]);
const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 0)} ms`;

function timed<T>(work: () => T): [T, number] {
  const start = performance.now();
  const result = work();
  return [result, performance.now() - start];
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

function count(state: FirewallState): Record<'classes' | 'sets' | 'members' | 'chains' | 'rules', number> {
  const total = { classes: 0, sets: 0, members: 0, chains: 0, rules: 0 };
  const { sets, chains } = state.families[4];
  for (const { members } of sets.values()) {
    total.sets++;
    total.members += members.size;
  }
  const entries = renderEntries(state.families[4]);
  total.chains = chains.size + entries.size;
  for (const chain of chains.values()) {
    if (chain.kind === 'class') total.classes++;
    total.rules += renderChain(chain).length;
  }
  for (const rules of entries.values()) total.rules += rules.length;
  return total;
}

// Of 250 pods about ten share a class, and the node has some two dozen of these; then the same pods spread over more namespaces.
const size = { pods: 10_000, policies: 1_000, local: 250, namespaces: 100, localNamespaces: 2 };
const world = benchWorld(size);
const spread = benchWorld({ ...size, localNamespaces: 5 });
function inputOf({ pods, namespaces, policies }: BenchWorld) {
  return {
    pods: pods.map((object) => ({ key: `${object.namespace}/${object.name}`, object })),
    namespaces: namespaces.map((object) => ({ key: object.name, object })),
    policies: policies.map((object) => ({ key: `${object.namespace}/${object.name}`, object })),
  };
}
const input = inputOf(world);

// Warm code, as a long-lived agent has; then the measured compile.
(() => void createPolicyCompiler({ node: 'node-0' }).update(input))();
for (let round = 0; round < 3; round++) gc();
await new Promise((resolve) => setTimeout(resolve, 50));
gc();
const before = process.memoryUsage().heapUsed;
const compiler = createPolicyCompiler({ node: 'node-0' });
const [first, compileMs] = timed(() => compiler.update(input));
gc();
const memory = (process.memoryUsage().heapUsed - before) / 1e6;
const counts = count(first.state);
report('first compile, 1,000 policies x 10,000 pods, 250 local', ms(compileMs));
report('classes / chains / rules (IPv4)', `${counts.classes} / ${counts.chains} / ${counts.rules}`, '<= 150 rules');
report('sets / members (IPv4)', `${counts.sets} / ${counts.members}`, '<= 3,500 members');
const more = count(createPolicyCompiler({ node: 'node-0' }).update(inputOf(spread)).state);
report(
  'the same, pods of five namespaces',
  `${more.classes} / ${more.chains} / ${more.rules}, ${more.sets} / ${more.members}`,
);
report('memory of the model', `${memory.toFixed(1)} MB`, '<= 40 MB');

const observed = { sets: parseSets(''), families: { 4: emptyFamily(), 6: emptyFamily() }, flipped: new Set<string>() };
const [, renderMs] = timed(() => {
  const plan = planIptables(first.state, observed, { prune: true });
  return { sets: renderSets(plan.prepare), chains: renderChains(plan.chains[4]) };
});
report('plan and render of the first load', ms(renderMs));

const root = process.getuid?.() === 0;
const ip = (...args: string[]): number | null => spawnSync('ip', args).status;
if (!root) report('load', 'needs root', '<= 400 ms with compile');
else {
  try {
    for (const how of ['legacy', 'nft', 'nftables'] as const) {
      ip('netns', 'add', NETNS);
      const netns = `/run/netns/${NETNS}`;
      const runner = createRunner();
      const target =
        how === 'nftables'
          ? createFirewallTarget({ runner, netns, backend: 'nftables' })
          : createFirewallTarget({ runner, netns, flavour: how });
      const { signal } = new AbortController();
      const held = await target.observe(signal);
      const start = performance.now();
      const plan = target.plan(compiler.state, held, { prune: true });
      const applied = await target.apply(plan, signal);
      const loadMs = performance.now() - start;
      if (applied.observed === undefined) throw applied.failures[0]!.error;
      report(`first load, ${how}`, ms(loadMs), `<= ${Math.round(400 - compileMs)} ms`);
      const times: number[] = [];
      let known = applied.observed;
      for (let round = 0; round < 10; round++) {
        const key = `ns-2/extra`;
        const object = round % 2 === 0 ? { ...benchPod(70_000, 'ns-2', true), name: 'extra' } : undefined;
        const at = performance.now();
        const { state, dirty } = compiler.update({ pods: [{ key, object }] });
        const next = await target.apply(target.plan(state, known, { prune: true, dirty }), signal);
        times.push(performance.now() - at);
        known = next.observed!;
      }
      report(`one pod added or removed, with processes, ${how}`, ms(median(times)));
      ip('netns', 'del', NETNS);
    }
    ip('netns', 'add', NETNS);
    const shape = linearShape(world, 'node-0');
    report(
      "kube-router's shape: chains / rules / sets / entries",
      `${shape.chains} / ${shape.rules} / ${shape.sets} / ${shape.entries}`,
    );
    for (const flavour of ['legacy', 'nft']) {
      const load = (file: string, args: string[], stdin: string): number => {
        const at = performance.now();
        const { status, stderr } = spawnSync('ip', ['netns', 'exec', NETNS, file, ...args], {
          input: stdin,
          encoding: 'utf8',
        });
        if (status !== 0) throw new Error(`${file}: ${stderr.slice(0, 500)}`);
        return performance.now() - at;
      };
      const setMs = load('ipset', ['restore', '-exist'], shape.setText);
      const ruleMs = load(`iptables-${flavour}-restore`, [], shape.ruleText);
      report(`kube-router's shape, every change rewritten, ${flavour}`, `sets ${ms(setMs)} + rules ${ms(ruleMs)}`);
      load(`iptables-${flavour}`, ['-F'], '');
      load(`iptables-${flavour}`, ['-X'], '');
    }
  } finally {
    ip('netns', 'del', NETNS);
  }
}

// One change: compile, plan and render, for tools that take everything at once. A pod of this node is the first of its namespace
// here, so its policies, their sets and the way to them come and go with it.
for (const backend of ['iptables', 'nftables'] as const) {
  const runner = createRecordingRunner();
  const target = createFirewallTarget({ runner, backend, flavour: 'legacy' });
  const { signal } = new AbortController();
  const incremental = createPolicyCompiler({ node: 'node-0' });
  let known = await target.observe(signal);
  const settle = async ({ state, dirty }: FirewallUpdate, all = false): Promise<void> => {
    const plan = target.plan(state, known, { prune: true, ...(all ? {} : { dirty }) });
    known = (await target.apply(plan, signal)).observed!;
    runner.clear();
  };
  await settle(incremental.update(input), true);
  const change = async (object: PodObject | undefined): Promise<number> => {
    const start = performance.now();
    await settle(incremental.update({ pods: [{ key: 'ns-3/change', object }] }));
    return performance.now() - start;
  };
  for (const here of [true, false]) {
    const times: Record<'added' | 'relabelled' | 'removed', number[]> = { added: [], relabelled: [], removed: [] };
    for (let round = 0; round < 200; round++) {
      const pod = { ...benchPod(70_000 + (round % 7), 'ns-3', here), name: 'change' };
      times.added.push(await change(pod));
      times.relabelled.push(await change({ ...pod, labels: { app: 'db', tier: 'front' } }));
      times.removed.push(await change(undefined));
    }
    for (const [kind, took] of Object.entries(times)) {
      const typical = median(took);
      report(
        `one pod ${here ? 'of this node' : 'elsewhere'} ${kind}, ${backend}: compile, plan, render`,
        `${ms(typical)} (p99 ${ms(took[Math.floor(took.length * 0.99)]!)})`,
        '<= 1 ms',
      );
    }
  }
}

if (!root) report('packets', 'needs root', '<= 1.3 x of no rules but conntrack');
else {
  const costs = await packetCosts(world, spread, NETNS);
  let bare: PacketCost = { established: 0, new: 0, attempt: 0 };
  for (const [name, cost] of costs) {
    if (name.startsWith('no rules')) bare = cost;
    const times = (kind: keyof PacketCost): string =>
      `${cost[kind].toFixed(1)} us (${(cost[kind] / bare[kind]).toFixed(2)} x)`;
    const judged = /^(iptables|nftables).* pods$/.test(name);
    report(
      `established round trip / new packet / TCP attempt: ${name}`,
      `${times('established')} / ${times('new')} / ${times('attempt')}`,
      judged ? '<= 1.3 x' : '',
    );
  }
}

const width = Math.max(...rows.map(([what]) => what.length));
console.log('firewall');
for (const [what, seen, wanted] of rows) console.log(`  ${what.padEnd(width)}  ${seen.padEnd(24)}  ${wanted}`);
