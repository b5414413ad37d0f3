/**
 * What was done to which pod, as the ownership record keeps it (`dsr/NAMESPACE/NAME ADDRESS`), and how it is undone: by the
 * running agent, by the next one, or by cleanup without any.
 */
import type { BlockOwnership } from '../../kernel/ownership.ts';
import type { Runner } from '../../kernel/types.ts';
import { fouShow, parsePodNet, podCommands, rpFilterCommand, rpFilterRestore } from './render.ts';

/** How to find a prepared pod again, and what its source checks were. */
export interface PodRecord {
  readonly netns: string;
  /** VIPs that it answers for. */
  readonly vips: readonly string[];
  /** Whether it has a UDP listener of ours. @defaultValue false */
  readonly fou?: boolean;
  /** Interface (`all`, `eth0`) to its rp_filter before. */
  readonly rpFilter: Readonly<Record<string, string>>;
}

const PREFIX = 'dsr/';

/** Prepared pods in the record by `NAMESPACE/NAME ADDRESS`. */
export function forgottenPods(owned: BlockOwnership | undefined): Map<string, PodRecord> {
  const found = new Map<string, PodRecord>();
  for (const [key, text] of owned?.applied ?? []) {
    if (key.startsWith(PREFIX)) found.set(key.slice(PREFIX.length), JSON.parse(text) as PodRecord);
  }
  return found;
}

/** Takes the tunnel end with its VIPs out of a pod and gives its source checks back; a namespace that is gone or has another pod in it is left alone. */
export async function releasePod(
  runner: Runner,
  address: string,
  { netns, rpFilter, fou = false }: Omit<PodRecord, 'vips'>,
): Promise<void> {
  const { stdout, exitCode } = await runner.run({
    file: 'ip',
    args: ['-j', 'addr', 'show'],
    netns,
    okExitCodes: [1, 255],
  });
  const listeners = exitCode === 0 && fou ? (await runner.run(fouShow(netns, address))).stdout : '';
  const now = exitCode === 0 ? parsePodNet(stdout, address, listeners) : undefined;
  if (now === undefined) return;
  for (const command of podCommands(netns, address, now, { vips: new Set(), fou: false })) await runner.run(command);
  const asked = rpFilterCommand(netns, address, now.device);
  if (asked === undefined || Object.keys(rpFilter).length === 0) return;
  const restore = rpFilterRestore(netns, rpFilter, (await runner.run(asked)).stdout);
  if (restore !== undefined) await runner.run(restore);
}
