/**
 * Started over kube-router's state, the agent's blocks adopt what they know by name; this part removes the rest, once every
 * other part holds what is desired. It exists only where something was found at the start.
 */
import type { Desired } from 'kube-router-sdk/kernel';
import { filter, map, merge, NEVER, of, take, type Observable } from 'rxjs';
import { part, type Part } from '../part.ts';
import {
  countFindings,
  createTakeoverTarget,
  describeFindings,
  findLeftovers,
  type TakeoverOptions,
} from '../takeover/takeover.ts';
import { renderSetConversion, type Owner } from '../takeover/rules.ts';
import type { BlockContext } from './context.ts';

/** Wires the part, when kube-router has been here. */
export async function wireTakeover(context: BlockContext): Promise<Part | undefined> {
  const { config, runner, families, flavour, state, log } = context;
  const { flags } = config;
  const owners = new Set<Owner>([
    ...(flags['run-firewall'] ? (['firewall'] as const) : []),
    ...(flags['run-service-proxy'] ? (['ipvs'] as const) : []),
    ...(flags['run-router'] ? (['routing'] as const) : []),
  ]);
  const options: TakeoverOptions = { runner, families, flavour };
  const found = countFindings(await findLeftovers(options, owners));
  if (found === 0) return undefined;
  log.info({ found }, 'kube-router was here: what no block takes over goes when every block holds what is desired');
  const go: Desired<null> = { state: null, synced: true };
  // A single pass runs the parts in order: whoever asks for this one has finished the others.
  const ready$: Observable<unknown> =
    context.mode !== 'run'
      ? of(true)
      : state.passes$.pipe(
          filter(() => state.blocks().every(({ name, ready }) => ready || name === 'takeover')),
          take(1),
        );
  return part({
    name: 'takeover',
    // Never completes: the loop tries again until nothing is left.
    desired$: merge(ready$.pipe(map(() => go)), NEVER),
    target: createTakeoverTarget(options, owners),
    describe: (plan) => Promise.resolve(describeFindings(plan)),
    issues: () => [],
    resyncMs: 0,
  });
}

/** The services' part, which before its first change makes kube-router's sets into its own. */
export function adoptSets(part: Part, runner: BlockContext['runner']): Part {
  let done = false;
  const convert = async (plan: unknown, signal: AbortSignal): Promise<void> => {
    const { stdout } = await runner.run({ file: 'ipset', args: ['save'] }, { signal });
    const input = renderSetConversion(await part.describe(plan), stdout);
    if (input !== '') await runner.run({ file: 'ipset', args: ['restore'], input }, { signal });
    done = true;
  };
  const { target } = part;
  return {
    ...part,
    target: {
      name: target.name,
      observe: (signal) => target.observe(signal),
      plan: (desired, observed, options) => target.plan(desired, observed, options),
      size: (plan) => target.size(plan),
      async apply(plan, signal) {
        if (!done) await convert(plan, signal);
        return target.apply(plan, signal);
      },
    },
  };
}
