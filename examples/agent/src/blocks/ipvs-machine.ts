/**
 * What the service proxy must know of its machine before it compiles: addresses, MTU, and the marks of an earlier run. Read once
 * before blocks are wired, and kept while they are wired anew.
 */
import { readLocalAddresses, readMarks, type LocalAddresses, type ServiceOptions } from 'kube-router-sdk/ipvs';
import type { NodeObject } from 'kube-router-sdk/informers';
import type { BlockContext } from './context.ts';

/** The machine as the service proxy sees it; whoever learns more writes it here. */
export interface Machine {
  local: LocalAddresses;
  marks: ReadonlyMap<string, number>;
}

/** First address of a family, internal ones first. */
function primary(own: NodeObject | undefined, six: boolean): string | undefined {
  const ofFamily = (own?.addresses ?? []).filter(({ address }) => address.includes(':') === six);
  return (ofFamily.find(({ type }) => type === 'InternalIP') ?? ofFamily[0])?.address;
}

/** Primary addresses of this node in the families that are on. */
export function primaries(
  { families, objects, node }: Pick<BlockContext, 'families' | 'objects' | 'node'>,
  own = objects.open('Node').snapshot().items.get(node),
): ServiceOptions['node']['primary'] {
  const four = families.includes(4) ? primary(own, false) : undefined;
  const six = families.includes(6) ? primary(own, true) : undefined;
  return { ...(four === undefined ? {} : { 4: four }), ...(six === undefined ? {} : { 6: six }) };
}

/** Reads addresses and MTU; without them the primary addresses stand alone. */
export async function readLocal(
  context: Pick<BlockContext, 'families' | 'objects' | 'node' | 'runner' | 'log'>,
): Promise<LocalAddresses> {
  const main = primaries(context);
  try {
    return await readLocalAddresses(context.runner, main);
  } catch (error) {
    context.log.warn({ block: 'ipvs', error: (error as Error).message }, "this node's addresses cannot be read");
    return { addresses: Object.values(main) };
  }
}

/** Reads the machine. */
export async function readMachine(context: Parameters<typeof readLocal>[0]): Promise<Machine> {
  const marks = await readMarks(context.runner, context.families).catch(() => new Map<string, number>());
  return { local: await readLocal(context), marks };
}
