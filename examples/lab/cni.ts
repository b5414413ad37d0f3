/**
 * A pod's network as a container runtime makes it: a namespace, then ADD of the CNI plugins that the node's configuration names
 * (Debian's containernetworking-plugins). The configuration is the agent's: it writes the pod ranges and the MTU.
 */
import { readdirSync } from 'node:fs';
import type { Finished } from './shell.ts';
import { must, ownShell } from './shell.ts';
import type { Place } from './places.ts';
import { bare } from './topology.ts';

const pluginFolder = '/usr/lib/cni';
/** Where the node's CNI configuration is; the agent is told by its environment. */
export const cniConfiguration = '/etc/cni/net.d/10-kuberouter.conflist';

interface PluginConfig {
  readonly type: string;
  readonly ipam?: { readonly ranges?: readonly (readonly { readonly subnet: string }[])[] };
}
interface ConfigList {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly PluginConfig[];
}

/** What an init container of the DaemonSet leaves on a fresh node. */
export async function installCniConfiguration(node: Place): Promise<void> {
  const list: ConfigList & { plugins: unknown } = {
    cniVersion: '0.4.0',
    name: 'kubernetes',
    plugins: [
      {
        type: 'bridge',
        name: 'kubernetes',
        bridge: 'kube-bridge',
        isDefaultGateway: true,
        hairpinMode: true,
        ipam: { type: 'host-local', dataDir: '/var/lib/cni/networks' },
      } as PluginConfig,
    ],
  };
  const written = await node.run('sh', ['-c', `cat >${cniConfiguration}`], JSON.stringify(list, null, 2));
  if (written.code !== 0) throw new Error(`cannot write ${cniConfiguration}: ${written.stderr}`);
}

/** Whether the agent has told the plugins which addresses the node's pods get. */
export async function cniReady(node: Place): Promise<boolean> {
  return ((await readConfiguration(node))?.plugins[0]?.ipam?.ranges?.length ?? 0) > 0;
}

async function readConfiguration(node: Place): Promise<ConfigList | undefined> {
  const { code, stdout } = await node.run('cat', [cniConfiguration]);
  return code === 0 ? (JSON.parse(stdout) as ConfigList) : undefined;
}

async function createNamespace(netns: string): Promise<void> {
  await ownShell().sh(
    // addresses are usable at once: nobody else can have them
    `ip netns add ${netns}
    nsenter --net=/run/netns/${netns} sh -c 'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad; exec ip link set lo up'`,
  );
}

/**
 * Plugs a pod in as CNIs without a bridge do: a cable of its own, and a route to its addresses; `host` is its number in each of the
 * node's pod ranges, above those that host-local has given away. Bridged pods take it for a neighbour and do not find it.
 */
export async function routedAdd(node: Place, netns: string, host: number): Promise<string[]> {
  await createNamespace(netns);
  const ranges = (await readConfiguration(node))?.plugins[0]?.ipam?.ranges ?? [];
  const addresses = ranges.flat().map(({ subnet }) => {
    const base = bare(subnet);
    return base.includes(':') ? `${base}${host.toString(16)}` : base.replace(/\d+$/, `${host}`);
  });
  const link = `routed${host}`;
  await node.ip([
    `link add ${link} type veth peer name eth0 netns ${netns}`,
    `link set ${link} up`,
    `addr add 169.254.1.1/32 dev ${link}`,
    `addr add fe80::1/64 dev ${link} nodad`,
    ...addresses.map((address) => `route add ${address} dev ${link}`),
  ]);
  const inside = [
    'link set eth0 up',
    ...addresses.map((address) => `addr add ${address}/${address.includes(':') ? 128 : 32} dev eth0`),
    'route add 169.254.1.1 dev eth0 scope link',
    'route add default via 169.254.1.1',
    'route add default via fe80::1 dev eth0',
  ];
  const { code, stderr } = await ownShell().run('ip', ['-n', netns, '-batch', '-'], `${inside.join('\n')}\n`);
  if (code !== 0) throw new Error(`${netns} cannot be plugged in: ${stderr.trim()}`);
  return addresses;
}

/** Makes namespace `netns`, plugs it in and returns the addresses that the plugins gave it. */
export async function cniAdd(node: Place, netns: string): Promise<string[]> {
  await createNamespace(netns);
  const list = await readConfiguration(node);
  if (list === undefined) throw new Error(`${node.name} has no ${cniConfiguration}`);
  let result: { ips?: { address: string }[] } | undefined;
  for (const plugin of list.plugins) {
    const { code, stdout, stderr } = await invoke(node, netns, 'ADD', list, plugin, result);
    if (code !== 0) throw new Error(`CNI plugin ${plugin.type} refused ${netns}: ${stdout || stderr}`);
    result = JSON.parse(stdout) as { ips?: { address: string }[] };
  }
  return (result?.ips ?? []).map(({ address }) => address.slice(0, address.indexOf('/')));
}

/** Unplugs and removes a pod's namespace; what is gone already is fine. */
export async function cniDelete(node: Place, netns: string): Promise<void> {
  const list = await readConfiguration(node);
  for (const plugin of [...(list?.plugins ?? [])].reverse()) if (list) await invoke(node, netns, 'DEL', list, plugin);
  if (readdirSync('/run/netns').includes(netns)) await must('ip', ['netns', 'del', netns]);
}

function invoke(
  node: Place,
  netns: string,
  command: 'ADD' | 'DEL',
  list: ConfigList,
  plugin: PluginConfig,
  prevResult?: unknown,
): Promise<Finished> {
  const environment = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: netns,
    CNI_NETNS: `/run/netns/${netns}`,
    CNI_IFNAME: 'eth0',
    CNI_PATH: pluginFolder,
  };
  const stdin = { ...plugin, cniVersion: list.cniVersion, name: list.name, ...(prevResult ? { prevResult } : {}) };
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  return node.run('env', [...assignments, `${pluginFolder}/${plugin.type}`], JSON.stringify(stdin));
}
