/**
 * Plugs the cables in: veth pairs, the switch inside the top-of-rack router, machine addresses and default gateways.
 * Everything else on a node's network is the agent's work.
 */
import { createPlace, type Place } from './places.ts';
import { must } from './shell.ts';
import { client, nodes, tor, type Machine } from './topology.ts';

/** All machines of the lab by name. */
export type Fabric = ReadonlyMap<string, Place>;

/** Makes the machines and plugs them in. */
export async function layCables(): Promise<Fabric> {
  const fabric = new Map<string, Place>();
  const places = await Promise.all([tor, client, ...nodes].map(({ name }) => createPlace(name)));
  for (const place of places) fabric.set(place.name, place);
  const router = fabric.get(tor.name);
  if (router === undefined) throw new Error('no router');
  await router.sh(
    // spread flows by addresses and ports, as a data-centre router does
    `sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \\
      net.ipv4.fib_multipath_hash_policy=1 net.ipv6.fib_multipath_hash_policy=1`,
  );
  await router.ip([
    'link add fabric type bridge',
    'link set fabric up',
    ...tor.fabric.map((address) => `addr add ${address} dev fabric nodad`),
  ]);
  for (const machine of nodes) await plug(machine, fabric, router, 'fabric');
  await plug(client, fabric, router);
  await router.ip(tor.outside.map((address) => `addr add ${address} dev client nodad`));
  return fabric;
}

/** Connects a machine's eth0 to the router: a port of its switch, or an interface of its own. */
async function plug(machine: Machine, fabric: Fabric, router: Place, bridge?: string): Promise<void> {
  const place = fabric.get(machine.name);
  if (place === undefined) throw new Error(`no place ${machine.name}`);
  await must('ip', [
    ...['link', 'add', 'eth0', 'netns', machine.name, 'type', 'veth'],
    ...['peer', 'name', machine.name, 'netns', router.name],
  ]);
  const attach = bridge === undefined ? '' : ` master ${bridge}`;
  await router.ip([`link set ${machine.name}${attach} up`]);
  await place.ip([
    'link set eth0 up',
    ...machine.addresses.map((address) => `addr add ${address} dev eth0 nodad`),
    ...machine.gateways.map((gateway) => `route add default via ${gateway}`),
  ]);
}
