/**
 * Every flag of the agent in one table, grouped as `--help` shows them. The parser, the environment, the configuration file,
 * its JSON Schema and the help are all made from it; nothing else in the agent knows a flag's text.
 */
import { ownFlags, commandFlags } from './own.ts';
import { featureFlags, healthFlags, processFlags } from './process.ts';
import { bgpFlags, routingFlags } from './routing.ts';
import { loadBalancerFlags, policyFlags, proxyFlags } from './services.ts';
import type { FlagSpec } from './values.ts';

/** All flags by name. */
export const flags = {
  ...processFlags,
  ...featureFlags,
  ...healthFlags,
  ...proxyFlags,
  ...policyFlags,
  ...loadBalancerFlags,
  ...routingFlags,
  ...bgpFlags,
  ...ownFlags,
  ...commandFlags,
};

/** Name of a flag, without dashes. */
export type FlagName = keyof typeof flags;

/** The value of every flag, by name. Durations are milliseconds. */
export type FlagValues = { readonly [K in FlagName]: (typeof flags)[K] extends FlagSpec<infer T> ? T : never };

/** Headings of `--help`, with the flags below each. */
export const groups: readonly (readonly [string, readonly FlagName[]])[] = [
  ['Process, API and identity', names(processFlags)],
  ['Blocks', names(featureFlags)],
  ['Health and metrics', names(healthFlags)],
  ['Service proxy', names(proxyFlags)],
  ['Network policy', names(policyFlags)],
  ['LoadBalancer addresses', names(loadBalancerFlags)],
  ['Routing, CNI and overlay', names(routingFlags)],
  ['BGP', names(bgpFlags)],
  ['Beyond kube-router', names(ownFlags)],
  ['Of single commands', names(commandFlags)],
];

/** Flags that only make sense on a command line, not in a file or the environment. */
export const commandLineOnly: ReadonlySet<FlagName> = new Set<FlagName>([
  ...names(commandFlags),
  'config',
  'version',
  'help',
  'cleanup-config',
]);

/** A flag's specification without its value type, for code that walks the table. */
export function flagSpec(name: FlagName): FlagSpec<unknown> {
  return flags[name] as unknown as FlagSpec<unknown>;
}

/** Narrows text to a flag's name. */
export function isFlagName(name: string): name is FlagName {
  return Object.hasOwn(flags, name);
}

/** Every flag's name, in the order of the help. */
export const flagNames: readonly FlagName[] = groups.flatMap(([, members]) => members);

function names(group: object): readonly FlagName[] {
  return Object.keys(group) as FlagName[];
}
