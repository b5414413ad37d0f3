/**
 * The oracle against the rules: after every step of a random history the rules that a pretended kernel holds judge random flows
 * exactly as `evaluate` does, the incremental state is the state compiled from nothing, and no moment in between is looser or
 * cuts what stays allowed.
 */
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { evaluate } from '../evaluate.ts';
import { compile, createPolicyCompiler } from './compiler.ts';
import { createFirewallTarget } from '../target/target.ts';
import type { FirewallState } from '../model/types.ts';
import type { FirewallObserved, FirewallTarget } from '../target/target.ts';
import { createFakeNetfilter } from '../../../test/support/firewall/fake-netfilter.ts';
import { createFakeNftables } from '../../../test/support/firewall/fake-nftables.ts';
import type { Fault } from '../../../test/support/firewall/fake-netfilter.ts';
import type { Packet } from '../../../test/support/firewall/packet.ts';
import {
  OWN_NODE,
  beginning,
  change,
  emptyWorld,
  flow,
  singleStep,
  step,
} from '../../../test/support/firewall/worlds.ts';
import type { Change, RandomFlow, World } from '../../../test/support/firewall/worlds.ts';

const LOCAL: ReadonlySet<string> = new Set([OWN_NODE[4], OWN_NODE[6]]);
const RUNS = Number(process.env['FIREWALL_RUNS'] ?? 80);
// FIREWALL_RUNS may ask for a hunt of hours.
vi.setConfig({ testTimeout: Math.max(120_000, RUNS * 500) });

function packets({ source, destination, protocol, port }: RandomFlow): Packet[] {
  const six = source.includes(':');
  const common = {
    source,
    destination,
    port,
    local: LOCAL,
    state: 'NEW' as const,
    ...(protocol === 'icmp' ? { protocol: six ? 'ipv6-icmp' : 'icmp', type: six ? 128 : 8 } : { protocol }),
  };
  if (LOCAL.has(source)) return [{ ...common, hook: 'OUTPUT' }];
  if (LOCAL.has(destination)) return [{ ...common, hook: 'INPUT' }];
  // What IPVS sends on appears at OUTPUT, with the client's address.
  return [
    { ...common, hook: 'FORWARD' },
    { ...common, hook: 'OUTPUT' },
  ];
}

/** What each direction says of a flow. */
interface Judged {
  readonly egress: boolean;
  readonly ingress: boolean;
}

const allowed = ({ egress, ingress }: Judged): boolean => egress && ingress;

function verdicts(world: World, flows: readonly RandomFlow[]): Judged[] {
  const model = {
    node: 'n1',
    pods: [...world.pods.values()],
    namespaces: [...world.namespaces.values()],
    policies: [...world.policies.values()],
    clusterPolicies: [...world.clusterPolicies.values()],
  };
  return flows.map((one) => {
    const { egress, ingress } = evaluate(model, one);
    return { egress: egress.verdict === 'allow', ingress: ingress.verdict === 'allow' };
  });
}

function plain(state: FirewallState): unknown {
  const sorted = <T>(map: ReadonlyMap<string, T>): [string, T][] => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  return ([4, 6] as const).map((family) => {
    const { sets, chains, roots, covers } = state.families[family];
    return {
      roots: { ...roots },
      covers: { ...covers },
      chains: sorted(chains),
      sets: sorted(sets).map(([name, set]) => [name, { ...set, members: sorted(set.members) }]),
    };
  });
}

const describeFlow = ({ source, destination, protocol, port }: RandomFlow): string =>
  `${source} > ${destination} ${protocol}/${port}`;

const history = {
  start: beginning,
  steps: fc.array(fc.oneof(singleStep, step), { minLength: 1, maxLength: 6 }),
  flows: fc.array(flow, { minLength: 30, maxLength: 30 }),
};

const BACKENDS = {
  iptables: createFakeNetfilter,
  nftables: createFakeNftables,
} as const;

async function settle(
  target: FirewallTarget,
  state: FirewallState,
  dirty?: ReadonlySet<string>,
  observed?: FirewallObserved,
): Promise<FirewallObserved> {
  const { signal } = new AbortController();
  const before = observed ?? (await target.observe(signal));
  const plan = target.plan(state, before, { prune: true, ...(dirty === undefined ? {} : { dirty }) });
  const applied = await target.apply(plan, signal);
  for (const { error } of applied.failures) throw error;
  const reached = applied.observed!;
  expect(target.size(target.plan(state, reached, { prune: true }))).toBe(0);
  expect(target.size(target.plan(state, await target.observe(signal), { prune: true }))).toBe(0);
  return reached;
}

/** A machine that holds the first state of a history. */
async function begun(backend: keyof typeof BACKENDS, start: readonly Change[]) {
  const world = emptyWorld();
  const compiler = createPolicyCompiler({ node: 'n1' });
  const machine = BACKENDS[backend]();
  const target = createFirewallTarget({ runner: machine.runner, backend });
  const { signal } = new AbortController();
  await settle(target, compiler.update(change(world, start)).state);
  return { world, compiler, machine, target, signal };
}

describe.each(['iptables', 'nftables'] as const)('%s', (backend) => {
  test('rules judge as the evaluator does after every change, and never looser on the way', async () => {
    await fc.assert(
      fc.asyncProperty(fc.record(history), async ({ start, steps, flows }) => {
        const world = emptyWorld();
        const compiler = createPolicyCompiler({ node: 'n1' });
        const machine = BACKENDS[backend]();
        const target = createFirewallTarget({ runner: machine.runner, backend });
        let observed: FirewallObserved | undefined;
        let before: Judged[] | undefined;
        let at = 0;
        for (const changes of [start, ...steps]) {
          const { state, dirty } = compiler.update(change(world, changes));
          const fresh = compile({
            node: 'n1',
            pods: world.pods.values(),
            namespaces: world.namespaces.values(),
            policies: world.policies.values(),
            clusterPolicies: world.clusterPolicies.values(),
          });
          expect(plain(state)).toEqual(plain(fresh.state));
          const after = verdicts(world, flows);
          const moments: string[] = [];
          machine.onChange = () => {
            if (before === undefined || changes.length > 1) return;
            flows.forEach((one, index) => {
              const [old, now] = [before![index]!, after[index]!];
              if (allowed(old) !== allowed(now)) return;
              for (const packet of packets(one)) {
                if (machine.passes(packet) !== allowed(now))
                  moments.push(`${allowed(now) ? 'cut' : 'leak'} ${packet.hook} ${describeFlow(one)}`);
              }
            });
          };
          observed = await settle(target, state, at++ === 0 ? undefined : dirty, observed);
          expect(moments).toEqual([]);
          flows.forEach((one, index) => {
            for (const packet of packets(one)) {
              expect(`${packet.hook} ${describeFlow(one)}: ${machine.passes(packet)}`).toBe(
                `${packet.hook} ${describeFlow(one)}: ${allowed(after[index]!)}`,
              );
            }
          });
          before = after;
        }
      }),
      { numRuns: RUNS },
    );
  });

  test('a tool that fails at any step leaves nothing looser, and the next pass heals it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({ ...history, steps: fc.array(singleStep, { minLength: 1, maxLength: 3 }) }),
        fc.nat(5),
        fc.constantFrom<Fault>('before', 'half', 'after'),
        async ({ start, steps, flows }, index, fault) => {
          const { world, compiler, machine, target, signal } = await begun(backend, start);
          let before = verdicts(world, flows);
          for (const changes of steps) {
            const { state } = compiler.update(change(world, changes));
            const after = verdicts(world, flows);
            const plan = target.plan(state, await target.observe(signal), { prune: true });
            machine.breakAt(index, fault);
            await target.apply(plan, signal);
            flows.forEach((one, at) => {
              if (allowed(before[at]!) || allowed(after[at]!)) return;
              for (const packet of packets(one)) expect(machine.passes(packet), describeFlow(one)).toBe(false);
            });
            machine.breakAt(-1, fault);
            await settle(target, state);
            before = after;
          }
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('while nothing may be removed, each end of a flow is judged by the old rules or by the new', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({ ...history, steps: fc.array(singleStep, { minLength: 1, maxLength: 4 }) }),
        async ({ start, steps, flows }) => {
          const { world, compiler, machine, target, signal } = await begun(backend, start);
          let before = verdicts(world, flows);
          for (const [at, changes] of steps.entries()) {
            const { state, dirty } = compiler.update(change(world, changes));
            const after = verdicts(world, flows);
            const moments: string[] = [];
            machine.onChange = () => {
              flows.forEach((one, index) => {
                const [old, now] = [before[index]!, after[index]!];
                if ((old.egress || now.egress) && (old.ingress || now.ingress)) return;
                for (const packet of packets(one))
                  if (machine.passes(packet)) moments.push(`leak ${packet.hook} ${describeFlow(one)}`);
              });
            };
            // As an agent begins, and as it goes on.
            const how = at % 2 === 0 ? { prune: false } : { prune: false, dirty };
            await target.apply(target.plan(state, await target.observe(signal), how), signal);
            expect(moments).toEqual([]);
            // And so when what was to leave leaves.
            await settle(target, state);
            expect(moments).toEqual([]);
            machine.onChange = () => undefined;
            before = after;
          }
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('an agent that begins and knows only some of the pods yet changes nothing for anybody', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({ start: history.start, flows: history.flows, known: fc.integer({ min: 0, max: 2 ** 31 - 1 }) }),
        async ({ start, flows, known }) => {
          const { world, compiler, machine, target, signal } = await begun(backend, start);
          // Who of two owns an address that both claim may well depend on both being known.
          fc.pre(compiler.update({}).issues.length === 0);
          const { namespaces, policies, clusterPolicies } = world;
          const pods = [...world.pods.values()].filter((_, index) => ((known >> (index % 31)) & 1) === 1);
          const judged = (): string[] =>
            flows.flatMap((one) => packets(one).map((packet) => `${describeFlow(one)}: ${machine.passes(packet)}`));
          const before = judged();
          machine.onChange = () => expect(judged()).toEqual(before);
          const some = compile({
            node: 'n1',
            pods,
            namespaces: namespaces.values(),
            policies: policies.values(),
            clusterPolicies: clusterPolicies.values(),
          });
          const plan = target.plan(some.state, await target.observe(signal), { prune: false });
          expect((await target.apply(plan, signal)).failures).toEqual([]);
          expect(judged()).toEqual(before);
        },
      ),
      { numRuns: RUNS },
    );
  });
});
