/**
 * Enforces the state file of the packet harness with the firewall block alone: read, compile, reconcile once, read back.
 * `enforce` does the same through the agent; this program needs nothing but the SDK, so that a failure here is the block's.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createRunner } from '../../src/kernel/index.ts';
import { project } from '../../src/objects/index.ts';
import type { NamespaceObject, NetworkPolicyObject, PodObject } from '../../src/objects/index.ts';
import { compile, createFirewallTarget } from '../../src/firewall/index.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { backend: { type: 'string', default: 'iptables' }, flavour: { type: 'string', default: 'nft' } },
});
const world = JSON.parse(readFileSync(positionals[0]!, 'utf8')) as {
  nodeName: string;
  objects: { namespaces: unknown[]; pods: unknown[]; networkPolicies?: unknown[] };
};
const read = <T>(kind: 'Pod' | 'Namespace' | 'NetworkPolicy', raw: readonly unknown[]): T[] =>
  raw.flatMap((one) => {
    const { object, issues } = project(kind, one);
    for (const issue of issues) console.error(issue.object, issue.field, issue.reason);
    return object === undefined ? [] : [object as T];
  });

const { state } = compile({
  node: world.nodeName,
  pods: read<PodObject>('Pod', world.objects.pods),
  namespaces: read<NamespaceObject>('Namespace', world.objects.namespaces),
  policies: read<NetworkPolicyObject>('NetworkPolicy', world.objects.networkPolicies ?? []),
});
const target = createFirewallTarget({
  runner: createRunner(),
  backend: values.backend as 'iptables' | 'nftables',
  flavour: values.flavour as 'legacy' | 'nft',
});
const { signal } = new AbortController();
const plan = target.plan(state, await target.observe(signal), { prune: true });
const { failures } = await target.apply(plan, signal);
for (const { item, error } of failures) console.error(item, error.message, (error as { details?: unknown }).details);
const again = target.plan(state, await target.observe(signal), { prune: true });
const left = target.size(again);
if (left > 0)
  console.error(
    'still to do:',
    JSON.stringify(again, (key, value: unknown) =>
      key === 'observed' ? undefined : value instanceof Map ? [...value] : value,
    ),
  );
process.exit(failures.length > 0 || left > 0 ? 1 : 0);
